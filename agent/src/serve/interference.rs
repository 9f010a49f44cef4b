//! Interference as JSON: what is known of each workload, and what placing one would do to it and to its neighbours.
use detectors::interference::placement::{self, Needs, Prediction, Processors, Widths};
use model::interference::{Abstention, Judgement, Sharer, Vector};
use model::{DeviceKind, Interference, Resource, Snapshot};
use serde_json::{Map, Value, json};

/// Residents of a question at most: each is compared with each.
const RESIDENTS_MAX: usize = 256;
/// Processors of a question at most.
const CORES_MAX: f64 = 65_536.0;
/// What an entry may look like.
const ENTRY: &str = "give the key of a workload of this node, or an object with sensitivity and pressure";

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The question is not what it should be.
    #[error("{field}: {remedy}")]
    Field {
        /// The field, as a path.
        field: String,
        /// What to write there.
        remedy: String,
    },
    /// There is no such workload.
    #[error("{field}: no workload of this node has the key {key}; GET /v1/interference lists them")]
    Unknown {
        /// The field, as a path.
        field: String,
        /// What was asked for.
        key: String,
    },
}

impl Fault {
    fn field(field: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Field { field: field.into(), remedy: remedy.into() }
    }

    /// Whether what was asked for is not there.
    pub(super) const fn unknown(&self) -> bool {
        matches!(self, Self::Unknown { .. })
    }
}

/// A share without the noise of its single precision.
fn rounded(share: f64) -> f64 {
    (share * 1e4).round() / 1e4
}

fn shares(vector: &Vector) -> Value {
    let shares = vector.iter().map(|(resource, share)| (resource.as_str().to_owned(), rounded(share).into()));
    Value::Object(shares.collect::<Map<_, _>>())
}

/// Every workload with what is known of it.
pub(super) fn workloads(snapshot: &Snapshot) -> Value {
    json!({
        "host": snapshot.node.host, "rig": snapshot.node.rig, "at_ms": snapshot.frame.at.wall_ms,
        "workloads": snapshot.interference.iter().map(|workload| one(snapshot, workload)).collect::<Vec<_>>(),
        "processes": snapshot.sharers.iter().map(|sharer| process(snapshot, sharer)).collect::<Vec<_>>(),
    })
}

/// A process on an accelerator, with the one that is in its way.
fn process(snapshot: &Snapshot, sharer: &Sharer) -> Value {
    let info = &snapshot.frame.devices.get(sharer.device).info;
    json!({
        "pid": sharer.pid, "name": sharer.name, "workload": sharer.workload, "key": info.key, "device": info.name,
        "judgement": judgement(snapshot, &sharer.judgement), "culprit": sharer.culprit,
    })
}

fn judgement(snapshot: &Snapshot, judgement: &Judgement) -> Value {
    match judgement {
        Judgement::Abstained(why) => json!({ "abstained": { "reason": why, "words": why.words() } }),
        Judgement::Estimate(estimate) => {
            let culprit = estimate.culprit.map(|culprit| {
                let key = &snapshot.frame.devices.get(culprit.device).info.key;
                json!({ "key": key, "name": snapshot.who(culprit.device), "correlation": culprit.correlation })
            });
            json!({ "estimate": {
                "y": estimate.y, "low": estimate.low, "high": estimate.high, "basis": estimate.basis,
                "resource": estimate.resource, "culprit": culprit,
            } })
        }
    }
}

fn one(snapshot: &Snapshot, workload: &Interference) -> Value {
    let info = &snapshot.frame.devices.get(workload.device).info;
    let judgement = judgement(snapshot, &workload.judgement);
    json!({
        "key": info.key, "kind": info.kind, "name": snapshot.who(workload.device), "labels": info.attributes,
        "judgement": judgement, "sensitivity": shares(&workload.sensitivity), "pressure": shares(&workload.pressure),
        "counters": workload.counters,
    })
}

/// Somebody in a question: the key where it is one of this node's, and what it needs.
type Party = (Option<String>, Needs);

/// Answers a question. Nothing is kept of it.
///
/// # Errors
/// When the question is not one, or asks for a workload that is not there.
pub(super) fn predict(snapshot: &Snapshot, body: &[u8]) -> Result<Value, Fault> {
    let question: Value = serde_json::from_slice(body)
        .map_err(|error| Fault::field("body", format!("must be a JSON object ({error})")))?;
    let question = fields(&question, "body", &["workload", "residents", "cores"])?;
    let missing = || Fault::field("workload", format!("is missing; {ENTRY}"));
    let newcomer = party(snapshot, question.get("workload").ok_or_else(missing)?, "workload")?;
    let residents = match question.get("residents") {
        None | Some(Value::Null) => neighbours(snapshot, newcomer.0.as_deref()),
        Some(list) => listed(snapshot, list)?,
    };
    let processors = processors(snapshot, question.get("cores"))?;
    let widths = Widths::default();
    let before: Vec<Needs> = residents.iter().map(|(_, needs)| *needs).collect();
    let after = [&[newcomer.1], &before[..]].concat();
    let before = placement::predict(&before, processors, &widths);
    let after = placement::predict(&after, processors, &widths);
    let resident = |((party, after), before): ((&Party, &Option<Prediction>), &Option<Prediction>)| {
        let mut told = told(party, after.as_ref());
        told["without"] = told_alone(before.as_ref());
        told
    };
    let residents: Vec<_> = residents.iter().zip(after.iter().skip(1)).zip(&before).map(resident).collect();
    Ok(json!({
        "at_ms": snapshot.frame.at.wall_ms, "rig": snapshot.node.rig,
        "workload": told(&newcomer, after.first().and_then(Option::as_ref)), "residents": residents,
    }))
}

fn told_alone(prediction: Option<&Prediction>) -> Value {
    match prediction {
        Some(told) => json!({
            "y": rounded(told.y), "low": rounded(told.low), "high": rounded(told.high),
            "resource": told.resource, "missing": told.missing,
        }),
        None => json!({ "y": null, "reason": "no resource has a number on both sides" }),
    }
}

fn told(party: &Party, prediction: Option<&Prediction>) -> Value {
    let mut told = told_alone(prediction);
    told["key"] = party.0.clone().into();
    told
}

/// An object that has none but the known fields.
fn fields<'a>(value: &'a Value, place: &str, known: &[&str]) -> Result<&'a Map<String, Value>, Fault> {
    let object = value.as_object().ok_or_else(|| Fault::field(place, "must be an object"))?;
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(Fault::field(
            format!("{place}.{key}"),
            format!("is not known; there are {}", known.join(", ")),
        )),
        None => Ok(object),
    }
}

fn party(snapshot: &Snapshot, value: &Value, place: &str) -> Result<Party, Fault> {
    if let Some(key) = value.as_str() {
        let known = |workload: &&Interference| snapshot.frame.devices.get(workload.device).info.key == key;
        let found = snapshot.interference.iter().find(known);
        let unknown = || Fault::Unknown { field: place.to_owned(), key: key.to_owned() };
        return found.map(|workload| (Some(key.to_owned()), needs(workload))).ok_or_else(unknown);
    }
    if !value.is_object() {
        return Err(Fault::field(place, ENTRY));
    }
    let object = fields(value, place, &["sensitivity", "pressure"])?;
    let get = |name: &str| {
        let place = format!("{place}.{name}");
        match object.get(name) {
            Some(value) => vector(value, &place),
            None => Err(Fault::field(place, "is missing; {} says that nothing is known")),
        }
    };
    Ok((None, Needs { sensitivity: get("sensitivity")?, pressure: get("pressure")? }))
}

const fn needs(workload: &Interference) -> Needs {
    Needs { sensitivity: workload.sensitivity, pressure: workload.pressure }
}

fn vector(value: &Value, place: &str) -> Result<Vector, Fault> {
    let known = Resource::ALL.map(Resource::as_str);
    let mut vector = Vector::default();
    for (name, value) in fields(value, place, &known)? {
        let share = value.as_f64().filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| {
            Fault::field(
                format!("{place}.{name}"),
                "must be a number from 0 to 1; leave it out where it is not known",
            )
        })?;
        let resource = Resource::ALL.into_iter().find(|resource| resource.as_str() == name);
        resource.into_iter().for_each(|resource| vector.set(resource, share));
    }
    Ok(vector)
}

fn listed(snapshot: &Snapshot, list: &Value) -> Result<Vec<Party>, Fault> {
    let list = list.as_array().ok_or_else(|| {
        Fault::field("residents", "must be a list; leave it out to take everybody on this node")
    })?;
    if list.len() > RESIDENTS_MAX {
        return Err(Fault::field(
            "residents",
            format!("has {} entries; give {RESIDENTS_MAX} at most", list.len()),
        ));
    }
    list.iter().enumerate().map(|(n, value)| party(snapshot, value, &format!("residents[{n}]"))).collect()
}

/// Everybody on this node but the newcomer and those who hardly run.
fn neighbours(snapshot: &Snapshot, newcomer: Option<&str>) -> Vec<Party> {
    // A group that holds others is not counted itself: it would be pressure that its members are taken for already.
    let absent = [Abstention::Idle, Abstention::Uncounted].map(Judgement::Abstained);
    let kind = |workload: &Interference| snapshot.frame.devices.get(workload.device).info.kind;
    let idles = |workload: &Interference| {
        absent.contains(&workload.judgement) || kind(workload) != DeviceKind::Cgroup
    };
    let key = |workload: &Interference| snapshot.frame.devices.get(workload.device).info.key.clone();
    let present = snapshot.interference.iter().filter(|workload| !idles(workload));
    let named = present.map(|workload| (Some(key(workload)), needs(workload)));
    named.filter(|(key, _)| key.as_deref() != newcomer).take(RESIDENTS_MAX).collect()
}

/// The processors asked for, of those of this node; `None` where those are not known and nothing is asked.
fn processors(snapshot: &Snapshot, cores: Option<&Value>) -> Result<Option<Processors>, Fault> {
    let node = snapshot.frame.devices.of_kind(DeviceKind::Core).count();
    let node = Some(node as f64).filter(|node| *node > 0.0);
    let Some(cores) = cores.filter(|cores| !cores.is_null()) else {
        return Ok(node.map(|node| Processors { node, given: node }));
    };
    let given = cores.as_f64().filter(|cores| *cores > 0.0 && *cores <= CORES_MAX).ok_or_else(|| {
        Fault::field("cores", "must be a number above 0; leave it out for all processors of this node")
    })?;
    let known = node.map(|node| Some(Processors { node, given }));
    known.ok_or_else(|| Fault::field("cores", "this node's processors are not known; leave it out"))
}

#[cfg(test)]
mod tests;
