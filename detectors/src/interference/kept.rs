//! Quiet profiles as bytes, by device key, so that an agent that starts again need not wait for quiet anew.
use super::profile::{BINS, Bin, Profile, Quotient};
use crate::keep::{Reader, Writer};

/// Changes with every change of what follows, and of what quotients mean.
const MARK: &[u8; 8] = b"wkinter1";
/// What is written for a quotient that is not known: no logarithm is ever near it.
const UNKNOWN: f64 = -1e9;
/// Profiles that are read back at most.
const PROFILES_MAX: usize = 512;

/// All profiles; `None` when there is none.
pub(super) fn write<'a>(profiles: impl Iterator<Item = (&'a str, &'a Profile)>) -> Option<Vec<u8>> {
    let (mut writer, mut count) = (Writer::new(MARK), 0);
    for (key, profile) in profiles.take(PROFILES_MAX) {
        count += 1;
        writer.key(key);
        writer.number(f64::from(profile.windows));
        let known =
            || profile.bins.iter().enumerate().filter_map(|(place, bin)| Some((place, bin.as_ref()?)));
        writer.number(known().count() as f64);
        for (place, bin) in known() {
            writer.number(place as f64);
            writer.number(f64::from(bin.windows));
            bin.logs
                .iter()
                .for_each(|log| writer.number(if log.is_nan() { UNKNOWN } else { f64::from(*log) }));
        }
    }
    (count > 0).then(|| writer.done())
}

/// Reads profiles back.
///
/// # Errors
/// When the bytes are of another version, cut off or damaged.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<(String, Profile)>, &'static str> {
    let mut reader = Reader::new(bytes, MARK)?;
    let mut profiles = Vec::new();
    while !reader.is_done() && profiles.len() < PROFILES_MAX {
        let key = reader.key()?;
        let mut profile = Profile { windows: reader.number()? as u32, ..Profile::default() };
        for _ in 0..reader.number()?.clamp(0.0, BINS as f64) as usize {
            let place = reader.number()? as usize;
            let windows = reader.number()? as u16;
            let mut logs = [f32::NAN; Quotient::COUNT];
            for log in &mut logs {
                let number = reader.number()?;
                *log = if number == UNKNOWN { f32::NAN } else { number as f32 };
            }
            *profile.bins.get_mut(place).ok_or("damaged")? = Some(Bin { windows, logs });
        }
        profiles.push((key, profile));
    }
    Ok(profiles)
}

#[cfg(test)]
mod tests {
    use super::super::counter::{Own, Sample};
    use super::*;

    fn profile() -> Profile {
        let mut profile = Profile::default();
        for run in [0.2, 0.2, 0.9, 0.9] {
            let mut sample = Sample::default();
            (sample.own[Own::Run as usize], sample.own[Own::Wait as usize]) = (run, 0.01);
            profile.learn(&sample);
        }
        profile
    }

    #[test]
    fn profiles_read_back_are_those_that_were_written() {
        let bytes = write([("a", &profile()), ("b", &Profile::default())].into_iter()).unwrap();
        let back = read(&bytes).unwrap();
        assert_eq!(format!("{back:?}"), format!("{:?}", [("a", profile()), ("b", Profile::default())]));
        assert_eq!(write(std::iter::empty()), None);
    }

    #[test]
    fn bytes_of_another_version_or_cut_off_anywhere_are_refused_or_read_in_part_and_never_panic() {
        let bytes = write([("a", &profile())].into_iter()).unwrap();
        assert!(read(b"wkinter0").is_err());
        for length in 9..bytes.len() {
            assert!(read(&bytes[..length]).is_err(), "{length}");
        }
        for place in 8..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[place] ^= 0xff;
            let _ = read(&damaged);
        }
    }
}
