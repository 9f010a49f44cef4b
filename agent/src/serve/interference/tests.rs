//! Tests of the JSON of interference: what is listed, what placing would do, what is refused and how.
use super::*;
use model::DeviceInfo;
use model::interference::{Basis, Culprit, Estimate};
use std::sync::Arc;

fn vector(run_queue: f64, io: f64) -> Vector {
    let mut vector = Vector::default();
    [(Resource::RunQueue, run_queue), (Resource::Io, io), (Resource::Network, 0.0)]
        .into_iter()
        .for_each(|(resource, share)| vector.set(resource, share));
    vector
}

/// Four processors; a database that a backup slows, and a timer that idles.
fn node() -> Snapshot {
    let mut snapshot = Snapshot::default();
    let table = Arc::make_mut(&mut snapshot.frame.devices);
    for core in 0..4 {
        table.register(&Arc::new(DeviceInfo::new(DeviceKind::Core, core.to_string()))).unwrap();
    }
    let mut group = |key: &str| table.register(&Arc::new(DeviceInfo::new(DeviceKind::Cgroup, key))).unwrap();
    let (db, backup, timer) = (group("/db"), group("/backup"), group("/timer"));
    let culprit = Some(Culprit { device: backup, correlation: 0.8 });
    let resource = Some(Resource::Io);
    let estimate = Estimate { y: 0.6, low: 0.5, high: 0.7, basis: Basis::Model, resource, culprit };
    for (device, judgement, sensitivity, pressure) in [
        (db, Judgement::Estimate(estimate), vector(0.2, 0.8), vector(0.5, 0.3)),
        (backup, Judgement::Abstained(Abstention::NoProfile), vector(0.1, 0.9), vector(0.25, 0.5)),
        (timer, Judgement::Abstained(Abstention::Idle), Vector::default(), Vector::default()),
    ] {
        snapshot.interference.push(Interference { device, judgement, sensitivity, pressure, counters: None });
    }
    snapshot
}

fn ask(question: &str) -> Result<Value, Fault> {
    predict(&node(), question.as_bytes())
}

fn refusal(question: &str) -> String {
    let fault = ask(question).unwrap_err();
    assert!(!fault.unknown());
    fault.to_string()
}

#[test]
fn every_workload_is_listed_with_its_estimate_or_the_reason_that_there_is_none() {
    let json = workloads(&node());
    let list = json["workloads"].as_array().unwrap();
    assert_eq!(list.len(), 3);
    assert_eq!(list[0]["judgement"]["estimate"]["culprit"]["key"], "/backup");
    assert_eq!(list[0]["sensitivity"], json!({ "run_queue": 0.2, "io": 0.8, "network": 0.0 }));
    assert_eq!(list[1]["judgement"]["abstained"]["reason"], "no_profile");
    assert_eq!(list[2]["pressure"], json!({}), "what is not known is not there");
}

#[test]
fn processes_on_an_accelerator_are_listed_with_the_one_in_their_way() {
    let mut snapshot = node();
    let table = Arc::make_mut(&mut snapshot.frame.devices);
    let gpu = table.register(&Arc::new(DeviceInfo::new(DeviceKind::Gpu, "GPU-a"))).unwrap();
    let (resource, basis) = (Some(Resource::Compute), Basis::Physics);
    let estimate = Estimate { y: 0.5, low: 0.45, high: 0.6, basis, resource, culprit: None };
    let sharer = Sharer {
        device: gpu,
        pid: 7,
        name: "chat".into(),
        workload: None,
        judgement: Judgement::Estimate(estimate),
        culprit: Some(8),
    };
    snapshot.sharers.push(sharer);
    let listed = &workloads(&snapshot)["processes"][0];
    assert_eq!((&listed["key"], &listed["pid"], &listed["culprit"]), (&json!("GPU-a"), &json!(7), &json!(8)));
    assert_eq!(listed["judgement"]["estimate"]["resource"], "compute");
}

#[test]
fn a_workload_of_this_node_is_told_beside_those_who_run() {
    let answer = ask(r#"{"workload": "/db"}"#).unwrap();
    // The backup is at the disk for half the time, and 0.8 of the time goes there: 1 / (1 + 0.8 / 2). Of four processors it has
    // one, and the database two.
    assert_eq!(answer["workload"]["y"], 0.7143);
    assert_eq!((&answer["workload"]["key"], &answer["workload"]["resource"]), (&json!("/db"), &json!("io")));
    let residents = answer["residents"].as_array().unwrap();
    assert_eq!(residents.len(), 1, "the timer idles, and nobody is his own neighbour");
    assert_eq!(residents[0]["without"]["y"], 1.0);
    assert!(residents[0]["y"].as_f64().unwrap() < 1.0);
}

#[test]
fn fewer_processors_make_slower_and_residents_that_are_given_replace_those_of_the_node() {
    let hog = r#"{"sensitivity": {"run_queue": 1}, "pressure": {"run_queue": 0.5}}"#;
    let y = |cores: &str| {
        let answer =
            ask(&format!(r#"{{"workload": {hog}, "residents": [{hog}], "cores": {cores}}}"#)).unwrap();
        (answer["workload"]["y"].clone(), answer["residents"][0]["y"].clone())
    };
    assert_eq!(y("4"), (json!(1.0), json!(1.0)));
    assert_eq!(y("2"), (json!(0.5), json!(0.5)));
    let alone = ask(&format!(r#"{{"workload": {hog}, "residents": []}}"#)).unwrap();
    assert_eq!((&alone["workload"]["y"], &alone["residents"]), (&json!(1.0), &json!([])));
}

#[test]
fn nothing_known_is_no_number_and_no_one() {
    let answer =
        ask(r#"{"workload": {"sensitivity": {}, "pressure": {}}, "residents": ["/timer"]}"#).unwrap();
    assert!(answer["workload"]["y"].is_null() && answer["workload"]["reason"].is_string(), "{answer}");
}

#[test]
fn a_bad_question_is_refused_with_its_field_and_the_remedy() {
    let cases = [
        ("", "body: must be a JSON object"),
        ("[]", "body: must be an object"),
        ("{}", "workload: is missing; give the key"),
        (r#"{"workload": 3}"#, "workload: give the key"),
        (
            r#"{"workload": "/db", "core": 3}"#,
            "body.core: is not known; there are workload, residents, cores",
        ),
        (r#"{"workload": "/db", "cores": 0}"#, "cores: must be a number above 0"),
        (r#"{"workload": "/db", "residents": "/db"}"#, "residents: must be a list"),
        (r#"{"workload": {"sensitivity": {}}}"#, "workload.pressure: is missing"),
        (
            r#"{"workload": "/db", "residents": ["/db", {"sensitivity": {"io": 2}, "pressure": {}}]}"#,
            "residents[1].sensitivity.io: must be a number from 0 to 1",
        ),
        (
            r#"{"workload": {"sensitivity": {"magic": 0}, "pressure": {}}}"#,
            "workload.sensitivity.magic: is not known; there are run_queue",
        ),
    ];
    for (question, told) in cases {
        let refusal = refusal(question);
        assert!(refusal.starts_with(told), "{question}: {refusal}");
    }
    let many = format!(r#"{{"workload": "/db", "residents": [{}]}}"#, vec![r#""/db""#; 257].join(","));
    assert_eq!(refusal(&many), "residents: has 257 entries; give 256 at most");
}

#[test]
fn a_workload_that_is_not_there_is_unknown() {
    for question in [r#"{"workload": "/gone"}"#, r#"{"workload": "/db", "residents": ["/gone"]}"#] {
        assert!(ask(question).unwrap_err().unknown());
    }
}
