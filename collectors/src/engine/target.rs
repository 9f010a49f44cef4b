//! Where an engine's metrics are, and which accelerators it uses.
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The port of `http://` without one.
const PORT: u16 = 80;
/// The longest address that makes sense.
const LENGTH_MAX: usize = 1024;

/// An engine: the address of its page, and the accelerators that it uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Where it listens. Addresses only: looking up a name can hang.
    pub address: SocketAddr,
    /// The path with its slash, and the query.
    pub path: String,
    /// A histogram or summary of the operator's that says how long its steps take, in seconds; without `_sum` and `_count`.
    pub histogram: Option<String>,
    /// Names or keys of the accelerators that it has to itself; empty where that is not known.
    pub devices: Vec<String>,
    /// The name or key of its control group; `None` where that is not known.
    pub group: Option<String>,
}

/// What stands before the name of a control group in the list of devices.
const GROUP: &str = "cgroup:";

/// A text is no engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It does not begin with `http://`.
    #[error("is no address of HTTP")]
    Scheme,
    /// The host is neither an IP address nor `localhost`.
    #[error("names no IP address; host names are not looked up")]
    Host,
    /// The path cannot be asked for.
    #[error("has a path that cannot be asked for")]
    Path,
    /// A device is empty.
    #[error("names an empty device")]
    Device,
    /// There are two control groups.
    #[error("names two control groups")]
    Groups,
    /// What stands behind `#` is no name of a metric.
    #[error("names no histogram behind #")]
    Histogram,
}

impl Target {
    /// Reads `http://IP:PORT/PATH#HISTOGRAM=DEVICE,DEVICE,cgroup:NAME`; what stands behind the last `=` behind the path are devices, unless it
    /// is the value of a query's key. Without a path it is `/metrics`.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        let rest = text.strip_prefix("http://").filter(|_| text.len() <= LENGTH_MAX);
        let rest = rest.ok_or(TargetError::Scheme)?;
        let (url, devices) = rest.rsplit_once('=').filter(is_list).unwrap_or((rest, ""));
        let (page, histogram) =
            url.split_once('#').map_or((url, None), |(page, histogram)| (page, Some(histogram)));
        if histogram.is_some_and(|name| !is_name(name)) {
            return Err(TargetError::Histogram);
        }
        let (host, path) = page.find('/').map_or((page, "/metrics"), |at| page.split_at(at));
        if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TargetError::Path);
        }
        let devices: Vec<String> = match (devices, url.len() < rest.len()) {
            ("", false) => Vec::new(),
            (devices, _) => devices.split(',').map(|device| device.trim().to_owned()).collect(),
        };
        let (groups, devices): (Vec<_>, Vec<_>) =
            devices.into_iter().partition(|device| device.starts_with(GROUP));
        let mut groups = groups.iter().map(|group| group[GROUP.len()..].to_owned());
        let group = groups.next();
        if groups.next().is_some() {
            return Err(TargetError::Groups);
        }
        if devices.iter().chain(&group).any(String::is_empty) {
            return Err(TargetError::Device);
        }
        let (address, path) = (address(host).ok_or(TargetError::Host)?, path.to_owned());
        Ok(Self { address, path, histogram: histogram.map(str::to_owned), devices, group })
    }

    /// The identity: the address, and the path where it is not the usual one.
    pub fn key(&self) -> String {
        match self.path.as_str() {
            "/metrics" => self.address.to_string(),
            path => format!("{}{path}", self.address),
        }
    }
}

/// Whether a text is a metric's name: Prometheus' data model.
fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':');
    text.bytes().all(plain) && text.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

/// Whether what stands behind the last `=` are devices, and not the value of a query's last key.
fn is_list((url, devices): &(&str, &str)) -> bool {
    let last = url.split_once('?').map(|(_, query)| query.rsplit('&').next().unwrap_or(query));
    // The path of a control group has slashes.
    let plain = devices
        .split(',')
        .all(|device| device.trim().starts_with(GROUP) || !device.contains(['/', '&', '?']));
    plain && last.is_none_or(|key| key.contains('='))
}

fn address(host: &str) -> Option<SocketAddr> {
    let named = host.strip_prefix("localhost").map(|port| format!("127.0.0.1{port}"));
    let host = named.as_deref().unwrap_or(host);
    let bare = || {
        let ip: IpAddr = host.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
        Some(SocketAddr::from((ip, PORT)))
    };
    host.parse().ok().or_else(bare)
}

impl Default for Target {
    fn default() -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
        Self { address, path: "/metrics".into(), histogram: None, devices: Vec::new(), group: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_a_path_and_devices_are_told_apart() {
        for (text, key, devices) in [
            ("http://127.0.0.1:8000/metrics=gpu0,gpu1", "127.0.0.1:8000", &["gpu0", "gpu1"][..]),
            ("http://127.0.0.1:8000", "127.0.0.1:8000", &[]),
            ("http://localhost:30000=GPU-a", "127.0.0.1:30000", &["GPU-a"]),
            ("http://[::1]:8000/metrics", "[::1]:8000", &[]),
            ("http://127.0.0.1:8080/metrics?model=a", "127.0.0.1:8080/metrics?model=a", &[]),
            ("http://10.0.0.7/m=npu0", "10.0.0.7:80/m", &["npu0"]),
            (
                "http://127.0.0.1:8080/metrics?model=a&b=c=gpu0",
                "127.0.0.1:8080/metrics?model=a&b=c",
                &["gpu0"],
            ),
        ] {
            let target = Target::parse(text).unwrap();
            assert_eq!((target.key().as_str(), target.devices.join(",")), (key, devices.join(",")), "{text}");
        }
    }

    #[test]
    fn a_histogram_and_a_control_group_may_be_named() {
        for (text, histogram, devices, group) in [
            (
                "http://127.0.0.1:8000/metrics#http_seconds=cgroup:web.service",
                "http_seconds",
                "",
                "web.service",
            ),
            ("http://127.0.0.1:8000#a:b", "a:b", "", ""),
            (
                "http://127.0.0.1:8000=gpu0,cgroup:/kubepods/pod1/abc,gpu1",
                "",
                "gpu0,gpu1",
                "/kubepods/pod1/abc",
            ),
        ] {
            let target = Target::parse(text).unwrap();
            assert_eq!(target.key(), "127.0.0.1:8000", "{text}");
            assert_eq!(target.histogram.unwrap_or_default(), histogram, "{text}");
            assert_eq!(target.devices.join(","), devices, "{text}");
            assert_eq!(target.group.unwrap_or_default(), group, "{text}");
        }
    }

    #[test]
    fn what_is_no_engine_is_refused_with_its_reason() {
        for (text, error) in [
            ("https://127.0.0.1:8000", TargetError::Scheme),
            ("127.0.0.1:8000", TargetError::Scheme),
            ("", TargetError::Scheme),
            ("http://vllm.default.svc:8000/metrics", TargetError::Host),
            ("http://:8000/metrics", TargetError::Host),
            ("http://127.0.0.1:99999", TargetError::Host),
            ("http://127.0.0.1:1/a b", TargetError::Path),
            ("http://127.0.0.1:1/a\r\nx: y", TargetError::Path),
            ("http://127.0.0.1:1/metrics=", TargetError::Device),
            ("http://127.0.0.1:1/metrics=gpu0,,gpu1", TargetError::Device),
            ("http://127.0.0.1:1/metrics=cgroup:", TargetError::Device),
            ("http://127.0.0.1:1/metrics=cgroup:a,cgroup:b", TargetError::Groups),
            ("http://127.0.0.1:1/metrics#", TargetError::Histogram),
            ("http://127.0.0.1:1/metrics#9lives", TargetError::Histogram),
            ("http://127.0.0.1:1/metrics#a-b=gpu0", TargetError::Histogram),
        ] {
            assert_eq!(Target::parse(text), Err(error), "{text}");
        }
    }
}
