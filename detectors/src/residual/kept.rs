//! Models as bytes, by device key, so that an agent that starts again need not learn anew.
use super::model_of::Model;
use super::rows::Span;
use crate::alarm::Alarm;
use crate::bytes::Reader;
use crate::level::Level;
use model::Metric;
use model::catalogue::CATALOGUE;

/// Changes with every change of what follows.
const VERSION: u8 = 1;
/// The most models that are read back.
const MODELS_MAX: usize = 64;
/// The longest name or key.
const TEXT_MAX: usize = 512;

fn put(out: &mut Vec<u8>, text: &str) {
    // Keys and names are far shorter.
    let text = &text.as_bytes()[..text.len().min(TEXT_MAX)];
    out.extend((text.len() as u16).to_le_bytes());
    out.extend(text);
}

/// All models; `None` when there is none.
pub(super) fn write<'a>(models: impl Iterator<Item = (&'a str, &'a Model)>) -> Option<Vec<u8>> {
    let mut out = vec![VERSION];
    for (key, model) in models.take(MODELS_MAX) {
        put(&mut out, key);
        out.push(model.channels.len() as u8);
        model.channels.iter().for_each(|metric| put(&mut out, &metric.to_string()));
        out.push(model.domain.len() as u8);
        for span in &model.domain {
            put(&mut out, &span.metric.to_string());
            out.extend(span.low.to_le_bytes());
            out.extend(span.high.to_le_bytes());
        }
        model.level.write(&mut out);
        model.alarm.write(&mut out);
    }
    (out.len() > 1).then_some(out)
}

/// Reads models back.
///
/// # Errors
/// When the bytes are of another version, cut off, or name a metric that no longer exists.
pub(super) fn read(mut bytes: &[u8], budget_per_day: f64) -> Result<Vec<(String, Model)>, &'static str> {
    let mut models = Vec::new();
    if Reader(&mut bytes).take::<1>() != Some([VERSION]) {
        return Err("written by another version");
    }
    while !bytes.is_empty() && models.len() < MODELS_MAX {
        models.push(one(&mut bytes, budget_per_day).ok_or("cut off or damaged")?);
    }
    Ok(models)
}

fn one(bytes: &mut &[u8], budget_per_day: f64) -> Option<(String, Model)> {
    let key = text(bytes)?;
    let count = Reader(bytes).take::<1>()?[0];
    let channels = (0..count).map(|_| metric(bytes)).collect::<Option<Vec<_>>>()?;
    let count = Reader(bytes).take::<1>()?[0];
    let domain = (0..count).map(|_| span(bytes)).collect::<Option<Vec<_>>>()?;
    let level = Level::read(bytes).filter(|level| level.channels() == channels.len())?;
    let alarm = Alarm::read(bytes, budget_per_day)?;
    Some((key, Model::new(channels, domain, level, alarm)))
}

fn span(bytes: &mut &[u8]) -> Option<Span> {
    let metric = metric(bytes)?;
    let ends = Reader(bytes).doubles(2)?;
    Some(Span { metric, low: ends[0], high: ends[1] })
}

fn metric(bytes: &mut &[u8]) -> Option<Metric> {
    let name = text(bytes)?;
    CATALOGUE.iter().map(|row| row.metric).find(|metric| metric.to_string() == name)
}

fn text(bytes: &mut &[u8]) -> Option<String> {
    let length = usize::from(u16::from_le_bytes(Reader(bytes).take::<2>()?));
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    String::from_utf8(text.to_vec()).ok()
}
