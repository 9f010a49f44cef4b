//! The house rules as a test: sizes, first lines, the star of crates, names in dashboards and rules, generated documents.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test that cannot be set up has failed"
)]
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Non-test lines a file may have.
const FILE_LINES_MAX: usize = 400;
/// Lines a function may have.
const FUNCTION_LINES_MAX: usize = 70;

/// Files that may be longer, with the reason. This list only shrinks.
const LONG_FILES: &[(&str, &str)] = &[];
/// Words that name nothing.
const BANNED_NAMES: &[&str] = &["utils", "helpers", "common", "manager", "misc"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn files_below(dir: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !matches!(name.as_str(), "target" | ".git" | "captures") {
            files_below(&path, ending, found);
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
}

fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    files_below(&root(), ".rs", &mut found);
    assert!(found.len() > 50, "the sources were not found");
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path.strip_prefix(root()).unwrap().to_string_lossy().into_owned(), text)
    };
    found.into_iter().map(read).collect()
}

fn is_test(path: &str) -> bool {
    let in_tests = path.starts_with("tests/") && !path.starts_with("tests/fake-");
    in_tests
        || path.contains("/tests/") && !path.contains("tests/fake-")
        || path.ends_with("/tests.rs")
        || path.contains("/benches/")
}

/// The lines before the test module of a file.
fn production(text: &str) -> Vec<&str> {
    text.lines().take_while(|line| line.trim() != "#[cfg(test)]").collect()
}

#[test]
fn every_file_opens_with_its_purpose_and_is_short() {
    let mut faults = Vec::new();
    for (path, text) in sources() {
        if !text.starts_with("//! ") {
            faults.push(format!("{path}: the first line must be `//!` and say what the file is for"));
        }
        let lines = production(&text).len();
        let allowed = LONG_FILES.iter().any(|(long, _)| *long == path);
        if !is_test(&path) && lines > FILE_LINES_MAX && !allowed {
            faults.push(format!("{path}: {lines} lines before its tests, at most {FILE_LINES_MAX}"));
        }
        if allowed && lines <= FILE_LINES_MAX {
            faults.push(format!("{path}: is short again; take it off LONG_FILES"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn functions_are_short() {
    let mut faults = Vec::new();
    for (path, text) in sources().into_iter().filter(|(path, _)| !is_test(path)) {
        let mut open: Option<(usize, usize, String)> = None;
        for (number, line) in production(&text).into_iter().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let head = line.trim_start();
            let starts = [
                "fn ",
                "pub fn ",
                "pub(super) fn ",
                "pub(crate) fn ",
                "const fn ",
                "pub const fn ",
                "unsafe fn ",
                "pub unsafe fn ",
                "pub unsafe extern",
                "pub extern",
                "async fn ",
                "pub async fn ",
                "pub(crate) async fn ",
            ];
            if open.is_none() && starts.iter().any(|start| head.starts_with(start)) && !head.ends_with(';') {
                open = Some((number, indent, head.to_owned()));
            }
            if let Some((first, depth, name)) = &open {
                let ends = line.trim_end() == format!("{}}}", " ".repeat(*depth))
                    || (number == *first && head.ends_with('}'));
                if ends {
                    if number - first + 1 > FUNCTION_LINES_MAX {
                        faults.push(format!("{path}:{}: {} lines: {name}", first + 1, number - first + 1));
                    }
                    open = None;
                }
            }
        }
    }
    assert!(faults.is_empty(), "functions over {FUNCTION_LINES_MAX} lines:\n{}", faults.join("\n"));
}

#[test]
fn no_name_says_nothing() {
    let faults: Vec<_> = sources()
        .into_iter()
        .map(|(path, _)| path)
        .filter(|path| {
            BANNED_NAMES.iter().any(|word| Path::new(path).file_stem().is_some_and(|stem| stem == *word))
        })
        .collect();
    assert!(faults.is_empty(), "{faults:?}");
}

#[test]
fn production_code_neither_gives_up_nor_leaves_marks() {
    let mut faults = Vec::new();
    for (path, text) in sources().into_iter().filter(|(path, _)| !is_test(path)) {
        for (number, line) in production(&text).into_iter().enumerate() {
            let code = line.split("//").next().unwrap_or("");
            for banned in [".unwrap()", "todo!(", "unimplemented!(", "dbg!("] {
                if code.contains(banned) {
                    faults.push(format!("{path}:{}: {banned}", number + 1));
                }
            }
            if ["FIXME", "XXX", "HACK"].iter().any(|mark| line.contains(mark)) {
                faults.push(format!("{path}:{}: a mark left behind", number + 1));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_file_is_reachable_from_its_crate() {
    let all = sources();
    let paths: BTreeSet<&str> = all.iter().map(|(path, _)| path.as_str()).collect();
    let mut faults = Vec::new();
    for path in &paths {
        let file = Path::new(path);
        let stem = file.file_stem().unwrap().to_string_lossy().into_owned();
        let inside_src = path.contains("src/") && !path.contains("/bin/");
        if !inside_src || matches!(stem.as_str(), "lib" | "main") {
            continue;
        }
        let folder = file.parent().unwrap();
        let (name, home) = if stem == "mod" {
            (folder.file_name().unwrap().to_string_lossy().into_owned(), folder.parent().unwrap())
        } else {
            (stem, folder)
        };
        let beside =
            home.parent().map(|up| up.join(format!("{}.rs", home.file_name().unwrap().to_string_lossy())));
        let parents = [home.join("mod.rs"), home.join("lib.rs"), home.join("main.rs")];
        let declared = parents.iter().chain(beside.iter()).any(|parent| {
            let text =
                all.iter().find(|(p, _)| Path::new(p) == parent).map(|(_, text)| text.as_str()).unwrap_or("");
            text.contains(&format!("mod {name};"))
        });
        if !declared {
            faults.push(format!("{path}: no parent declares `mod {name};`"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn metadata() -> serde_json::Value {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let line = ["metadata", "--format-version", "1", "--no-deps", "--offline"];
    let output = Command::new(cargo).args(line).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_crates_form_a_star() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    let ours: BTreeSet<&str> = packages.iter().map(|p| p["name"].as_str().unwrap()).collect();
    let mut faults = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap();
        let used =
            package["dependencies"].as_array().unwrap().iter().filter(|d| d["kind"].as_str() != Some("dev"));
        for dependency in used.map(|d| d["name"].as_str().unwrap()).filter(|d| ours.contains(d)) {
            let allowed = match name {
                "agent" => dependency != "tests" && !dependency.starts_with("fake-"),
                "tests" => true,
                _ if name.starts_with("fake-") => matches!(dependency, "sim" | "model" | "fake-world"),
                _ => dependency == "model",
            };
            if !allowed {
                faults.push(format!("{name} must not depend on {dependency}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn crates_that_compute_do_nothing_else() {
    let banned = [
        "std::fs",
        "std::net",
        "std::thread",
        "std::process",
        "std::env",
        "Instant::now",
        "SystemTime",
        "tokio",
        "tracing",
    ];
    let mut faults = Vec::new();
    for (path, text) in sources().into_iter().filter(|(path, _)| !is_test(path)) {
        let pure = ["model/src", "detectors/src", "policy/src", "collectors/sim/src"]
            .iter()
            .any(|home| path.starts_with(home));
        if !pure {
            continue;
        }
        if path.ends_with("src/lib.rs") && !text.contains("#![forbid(unsafe_code)]") {
            faults.push(format!("{path}: must forbid unsafe code"));
        }
        for (number, line) in production(&text).into_iter().enumerate() {
            let code = line.split("//").next().unwrap_or("");
            faults.extend(
                banned
                    .iter()
                    .filter(|word| code.contains(*word))
                    .map(|word| format!("{path}:{}: {word}", number + 1)),
            );
            let ordered = path.starts_with("detectors") || path.starts_with("policy");
            if ordered && code.contains("HashMap") {
                faults.push(format!("{path}:{}: HashMap has no fixed order", number + 1));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Every word of a text that begins with the product's prefix.
fn metric_names(text: &str) -> BTreeSet<String> {
    let word =
        |rest: &str| rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>();
    // What stands behind a colon is the name of a recording rule, made of a metric's without its ending.
    let own = |at: &usize| !text[..*at].ends_with(':');
    text.match_indices("wattkeeper_").map(|(at, _)| at).filter(own).map(|at| word(&text[at..])).collect()
}

#[test]
fn every_metric_in_a_dashboard_or_rule_exists() {
    let known: BTreeSet<&str> = model::catalogue::CATALOGUE
        .iter()
        .map(|row| row.family)
        .chain(model::families::FAMILIES.iter().map(|family| family.name))
        .collect();
    let mut files = Vec::new();
    files_below(&root().join("dashboards/grafana"), ".json", &mut files);
    files_below(&root().join("dashboards/rules"), ".yml", &mut files);
    assert!(files.len() >= 3, "dashboards and rules were not found");
    let mut faults = Vec::new();
    for file in files {
        for name in metric_names(&fs::read_to_string(&file).unwrap()) {
            if !known.contains(name.as_str()) {
                faults.push(format!("{}: {name} is not in the catalogue", file.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_default_configuration_file_is_the_generated_one() {
    let file = root().join("deploy/wattkeeper.toml");
    let generated = agent::config::keys::default_file();
    if std::env::var_os("WATTKEEPER_BLESS").is_some() {
        fs::write(&file, &generated).unwrap();
    }
    let kept = fs::read_to_string(&file).unwrap_or_default();
    assert!(kept == generated, "deploy/wattkeeper.toml is stale; run this test with WATTKEEPER_BLESS=1");
}

#[test]
fn the_table_of_needs_in_the_readme_is_the_generated_one() {
    let file = root().join("README.md");
    let text = fs::read_to_string(&file).unwrap();
    let (before, rest) = text.split_once("<!-- needs: generated -->\n").expect("the README marks the table");
    let (_, after) = rest.split_once("<!-- needs: end -->").expect("the README marks its end");
    let table = agent::doctor::table();
    let fresh = format!("{before}<!-- needs: generated -->\n{table}<!-- needs: end -->{after}");
    if std::env::var_os("WATTKEEPER_BLESS").is_some() {
        fs::write(&file, &fresh).unwrap();
    }
    let kept = fs::read_to_string(&file).unwrap();
    assert!(kept == fresh, "the README's table of needs is stale; run this test with WATTKEEPER_BLESS=1");
}

#[test]
fn the_list_of_metrics_is_the_generated_one() {
    let file = root().join("dashboards/METRICS.md");
    let generated = format!(
        "# Metrics\n\nGenerated from the catalogue: `wattkeeper catalogue`.\n\n```text\n{}```\n",
        agent::catalogue::table()
    );
    if std::env::var_os("WATTKEEPER_BLESS").is_some() {
        fs::write(&file, &generated).unwrap();
    }
    let kept = fs::read_to_string(&file).unwrap_or_default();
    assert!(kept == generated, "dashboards/METRICS.md is stale; run this test with WATTKEEPER_BLESS=1");
}

#[test]
fn the_list_of_faults_is_the_generated_one() {
    let file = root().join("detectors/FAULTS.md");
    let generated = detectors::catalogue::document();
    if std::env::var_os("WATTKEEPER_BLESS").is_some() {
        fs::write(&file, &generated).unwrap();
    }
    let kept = fs::read_to_string(&file).unwrap_or_default();
    assert!(kept == generated, "detectors/FAULTS.md is stale; run this test with WATTKEEPER_BLESS=1");
}

#[test]
fn the_changelog_tells_kinds_of_change_apart() {
    let text = fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
    let entries: Vec<_> = text.lines().filter(|line| line.starts_with("- ")).collect();
    assert!(!entries.is_empty());
    for entry in entries {
        let known = ["[FEATURE]", "[ENHANCEMENT]", "[BUGFIX]", "[CHANGE]"]
            .iter()
            .any(|kind| entry[2..].starts_with(kind));
        assert!(known, "{entry}");
    }
}
