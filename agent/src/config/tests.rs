//! Tests of the configuration: defaults, all faults at once, overrides.
use super::keys::{KEYS, default_file};
use super::*;
use std::io::Write as _;

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn set(key: &str, value: &str) -> Override {
    Override { origin: "--set".into(), key: key.into(), value: value.into() }
}

#[test]
fn the_defaults_are_valid_and_safe() {
    let config = load(None, &[]).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:9477");
    assert!(config.listen.ip().is_loopback() && !config.power.enforce && config.power.budget_w.is_none());
    assert_eq!(config.history_points(), 3600);
}

#[test]
fn the_default_file_with_every_key_uncommented_is_the_default() {
    let text = default_file();
    let live: String = text
        .lines()
        .map(|line| {
            line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line).to_owned() + "\n"
        })
        .collect();
    for key in KEYS {
        let name = key.path.rsplit('.').next().unwrap();
        assert!(live.contains(&format!("\n{name} = {}\n", key.default)), "{} is not in the file", key.path);
    }
    assert_eq!(load(Some(file(&live).path()), &[]).unwrap(), load(None, &[]).unwrap());
}

#[test]
fn changes_to_the_catalogue_are_read_and_each_of_their_faults_is_reported() {
    let good = file("[[fault]]\nfault = \"pcie_replays\"\nlimits.gen5 = 4.0\n");
    let named = |path: &Path| [set("detectors.faults", &path.display().to_string())];
    let config = load(None, &named(good.path())).unwrap();
    assert_eq!(config.catalogue.as_ref().unwrap().limit(detectors::catalogue::Limit::ReplaysGen5), 4.0);
    assert_eq!(load(None, &[]).unwrap().needs_restart(&config), ["detectors.faults"]);
    let bad = file("[[fault]]\nfault = \"xid\"\nseverity = \"fatal\"\nrepeats = 1.5\n[[xid]]\ncode = 173\n");
    let text = load(None, &named(bad.path())).unwrap_err().to_string();
    for expected in [
        "3 faults",
        "fault xid: severity = \"fatal\" is not known; write one of info, warning, critical",
        "fault xid: repeats = 1.5",
        "xid number 1: code = 173 is not an XID",
        &bad.path().display().to_string(),
    ] {
        assert!(text.contains(expected), "{expected} is missing in:\n{text}");
    }
    for path in [Path::new("/nowhere/faults.toml"), Path::new("/dev/zero")] {
        let text = load(None, &named(path)).unwrap_err().to_string();
        assert!(text.contains(&path.display().to_string()), "{text}");
    }
    let mut junk = tempfile::NamedTempFile::new().unwrap();
    junk.write_all(&[0xff; 64]).unwrap();
    assert!(load(None, &named(junk.path())).unwrap_err().to_string().contains("UTF-8"));
}

#[test]
fn every_fault_is_reported_at_once_with_key_value_and_remedy() {
    let bad = file(
        "listen = 9477\nlisten_adress = \"x\"\n[beat]\ninterval = \"1\"\n[power]\nlow = 3\nbudget = \"12 GW\"\n\
         [collectors]\ndisabled = [\"nvlm\"]\n[nonsense]\na = 1\n",
    );
    let faults =
        load(Some(bad.path()), &[set("power.enforce", "maybe"), set("beat.intervall", "1s")]).unwrap_err();
    let text = faults.to_string();
    for expected in [
        "listen = 9477",
        "listen_adress",
        "beat.interval = \"1\"",
        "power.low = 3",
        "power.budget = \"12 GW\"",
        "nvlm",
        "nonsense",
        "power.enforce = maybe",
        "did you mean beat.interval?",
    ] {
        assert!(text.contains(expected), "{expected} is missing in:\n{text}");
    }
    assert_eq!(faults.0.len(), 9, "{text}");
    assert!(faults.0.iter().all(|fault| !fault.remedy.is_empty()));
}

#[test]
fn a_collector_is_an_address_of_http_and_its_headers_are_not_shown() {
    let set_all = |endpoint: &str, headers: &str| {
        load(None, &[set("otlp.endpoint", endpoint), set("otlp.headers", headers)])
    };
    let config = set_all("http://collector:4318/", r#"["authorization: Bearer secret"]"#).unwrap();
    assert_eq!(config.otlp.headers[0].1, "Bearer secret");
    assert!(!format!("{config:?}").contains("secret"));
    for endpoint in ["https://collector:4318", "collector", "ftp://collector", "http://"] {
        assert!(set_all(endpoint, "[]").is_err(), "{endpoint}");
    }
    assert!(set_all("", r#"["no header"]"#).is_err());
}

#[test]
fn an_engine_is_a_page_and_its_accelerators_and_each_page_is_named_once() {
    let urls = |list: &str| load(None, &[set("collectors.engine.urls", list)]);
    let config = urls(r#"["http://127.0.0.1:8000/metrics=gpu0,gpu1", "http://localhost:8001"]"#).unwrap();
    assert_eq!(config.collectors.engines[0].devices, ["gpu0", "gpu1"]);
    assert_eq!(config.collectors.engines[1].key(), "127.0.0.1:8001");
    for (list, expected) in [
        (r#"["http://vllm:8000"]"#, "host names are not looked up"),
        (r#"["http://127.0.0.1:1", "http://localhost:1=gpu0"]"#, "names 127.0.0.1:1 twice"),
        (r#""http://127.0.0.1:1""#, "not a list"),
    ] {
        let text = urls(list).unwrap_err().to_string();
        assert!(text.contains(expected), "{text}");
    }
    let many: Vec<_> = (0..40).map(|port| format!("\"http://127.0.0.1:{}\"", 1000 + port)).collect();
    assert!(urls(&format!("[{}]", many.join(","))).unwrap_err().to_string().contains("at most 32"));
}

#[test]
fn text_that_is_not_toml_names_its_line() {
    let faults = load(Some(file("listen = \"127.0.0.1:1\"\n[beat\n").path()), &[]).unwrap_err();
    assert!(faults.to_string().contains("line 2"), "{faults}");
}

#[test]
fn a_missing_file_is_a_fault() {
    let faults = load(Some(Path::new("/nonexistent/wattkeeper.toml")), &[]).unwrap_err();
    assert!(faults.to_string().contains("/nonexistent/wattkeeper.toml: cannot be read"), "{faults}");
}

#[test]
fn the_command_line_wins_over_the_file() {
    let some = file("[beat]\ninterval = \"2s\"\n[power]\nbudget = \"4 kW\"\n");
    let config =
        load(Some(some.path()), &[set("beat.interval", "100ms"), set("power.enforce", "true")]).unwrap();
    assert_eq!(config.beat.interval, Duration::from_millis(100));
    assert_eq!(config.power.budget_w, Some(4000.0));
    assert!(config.power.enforce);
}

#[test]
fn keys_that_contradict_each_other_are_faults() {
    for (key, value) in [("power.high", "0.5"), ("power.enforce", "true"), ("rig.kind", "replay")] {
        let faults = load(None, &[set(key, value)]).unwrap_err();
        assert_eq!(faults.0.len(), 1, "{key}: {faults}");
    }
}

#[test]
fn a_changed_key_that_needs_a_restart_is_named() {
    let old = load(None, &[]).unwrap();
    let new = load(None, &[set("listen", "127.0.0.1:1"), set("power.budget", "5 kW")]).unwrap();
    assert_eq!(old.needs_restart(&new), ["listen"]);
}

#[test]
fn memory_is_probed_only_where_the_operator_says_so() {
    let plain = load(None, &[]).unwrap();
    let asked = load(None, &[set("probe.enabled", "true")]).unwrap();
    assert_eq!((plain.probe, asked.probe), (false, true));
    assert_eq!(plain.needs_restart(&asked), ["probe.enabled"]);
}
