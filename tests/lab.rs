//! The lab on accelerators as a whole: the simulated campaign, and parts that work through the CUDA driver's interface.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot be set up has failed")]
use agent::lab::gpu::table;
use agent::lab::table::Kind;
use std::path::Path;
use tests::{fake, run};

#[test]
fn a_simulated_campaign_writes_a_labelled_table_that_says_so_and_is_evaluated_again() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().to_str().unwrap();
    let line = ["lab", "--gpu", "--rig", "sim", "--out", out, "--campaigns", "1", "--windows", "2"];
    let (code, told, progress) = run(&line, &[]);
    assert_eq!(code, 0, "{progress}");
    assert!(told.contains("gpu-simulated.csv.gz") && told.contains("SIMULATED: "), "{told}");
    assert!(progress.contains("decode done") && progress.contains("SIMULATED"), "{progress}");
    let windows = table::read(&home.path().join(table::name(true))).unwrap();
    assert!(windows.iter().all(|window| window.simulated && window.y() > 0.0));
    for victim in ["compute", "stream", "copy", "launch", "decode"] {
        let of = |kind| windows.iter().filter(move |window| window.victim == victim && window.kind == kind);
        assert!(of(Kind::Control).all(|window| window.y() > 0.95), "{victim} is alone then");
        assert!(of(Kind::Met).any(|window| window.y() < 0.95), "somebody is in the way of {victim}");
    }
    let (code, again, _) = run(&["evaluate", "--interference", "--gpu", "--data", out], &[]);
    assert!(code == 0 && told.ends_with(&again), "{again}");
}

#[test]
fn victims_and_antagonists_meet_on_a_gpu_behind_the_drivers_interface() {
    let home = tempfile::tempdir().unwrap();
    let (out, cuda) = (home.path().join("out"), fake("cuda"));
    let libraries = format!("collectors.libraries=[\"nvml={}\"]", fake("nvml").display());
    let (out_text, cuda) = (out.to_str().unwrap(), cuda.to_str().unwrap());
    let line = [
        "lab",
        "--gpu",
        "--out",
        out_text,
        "--campaigns",
        "1",
        "--windows",
        "3",
        "--window-ms",
        "150",
        "--job",
        "compute",
        "--cuda",
        cuda,
        "--set",
        &libraries,
    ];
    let (engine, node) = (home.path().join("engine"), home.path().join("node"));
    let environment: [(&str, &Path); 2] =
        [("WATTKEEPER_FAKE_CUDA", &engine), ("WATTKEEPER_FAKE_NVML", &node)];
    let (code, told, progress) = run(&line, &environment);
    assert_eq!(code, 0, "{progress}");
    assert!(!told.contains("SIMULATED"), "the table of a GPU is not that of the simulator: {told}");
    let windows = table::read(&out.join(table::name(false))).unwrap();
    let mean = |press: &str, intensity: f64| {
        let met = windows.iter().filter(|window| window.antagonist == press && window.intensity >= intensity);
        let speeds: Vec<f64> = met.map(|window| window.speed / window.alone).collect();
        speeds.iter().sum::<f64>() / speeds.len() as f64
    };
    assert!(windows.iter().all(|window| !window.simulated && window.antagonist != "power"));
    let quiet = windows.iter().filter(|window| window.kind == Kind::Quiet).count();
    assert!(quiet >= 16, "{quiet}");
    let slowest =
        ["compute", "memory", "copy", "mixed"].map(|press| mean(press, 0.0)).into_iter().fold(1.0, f64::min);
    assert!(slowest < 0.85, "whoever takes turns at one engine is slower: {slowest}");
    let seen = &windows[0].seen;
    assert!(
        seen.own.is_none() && seen.clock.is_some(),
        "a process that the driver does not list has no share: {seen:?}"
    );
}

#[test]
fn a_gpu_that_cannot_be_worked_on_is_told_with_the_call_or_the_remedy() {
    let home = tempfile::tempdir().unwrap();
    let (out, cuda) = (home.path().to_str().unwrap(), fake("cuda"));
    let cuda = cuda.to_str().unwrap();
    let ask = |more: &[&str], fails: &str| {
        let line = [&["lab", "--gpu", "--out", out], more].concat();
        let (code, _, told) = run(&line, &[("WATTKEEPER_FAKE_CUDA_FAIL", Path::new(fails))]);
        assert_eq!(code, 1, "{told}");
        told
    };
    assert!(ask(&["--cuda", "/nowhere/libcuda.so.1"], "").contains("cannot be loaded"));
    assert!(ask(&["--cuda", cuda, "--device", "3"], "").contains("sees 1 GPUs"));
    let told = ask(&["--cuda", cuda], "cuMemAlloc_v2=2");
    assert!(told.contains("cuMemAlloc_v2") && told.contains("CUDA_ERROR_OUT_OF_MEMORY"), "{told}");
    let told = ask(&["--cuda", cuda], "cuModuleLoadData=222");
    assert!(told.contains("CUDA_ERROR_UNSUPPORTED_PTX_VERSION"), "{told}");
}
