//! What is asked of NVML: every function, every field number and every profiling counter. Tests hold it against the code.

/// Every function of the library that is called, those of the safe wrapper included. `nvmlInit` is only looked for, to tell a
/// library that is too old.
pub const CALLS_USED: &[&str] = &[
    "nvmlDeviceGetArchitecture",
    "nvmlDeviceGetBAR1MemoryInfo",
    "nvmlDeviceGetClockInfo",
    "nvmlDeviceGetComputeInstanceId",
    "nvmlDeviceGetComputeRunningProcesses_v3",
    "nvmlDeviceGetCount_v2",
    "nvmlDeviceGetCurrPcieLinkGeneration",
    "nvmlDeviceGetCurrPcieLinkWidth",
    "nvmlDeviceGetCurrentClocksEventReasons",
    "nvmlDeviceGetCurrentClocksThrottleReasons",
    "nvmlDeviceGetDecoderUtilization",
    "nvmlDeviceGetEncoderUtilization",
    "nvmlDeviceGetEnforcedPowerLimit",
    "nvmlDeviceGetFanSpeedRPM",
    "nvmlDeviceGetFanSpeed_v2",
    "nvmlDeviceGetFieldValues",
    "nvmlDeviceGetGpuFabricInfoV",
    "nvmlDeviceGetGpuInstanceId",
    "nvmlDeviceGetGraphicsRunningProcesses_v3",
    "nvmlDeviceGetHandleByIndex_v2",
    "nvmlDeviceGetHandleByUUID",
    "nvmlDeviceGetJpgUtilization",
    "nvmlDeviceGetMarginTemperature",
    "nvmlDeviceGetMaxClockInfo",
    "nvmlDeviceGetMaxMigDeviceCount",
    "nvmlDeviceGetMaxPcieLinkGeneration",
    "nvmlDeviceGetMaxPcieLinkWidth",
    "nvmlDeviceGetMemoryAffinity",
    "nvmlDeviceGetMemoryErrorCounter",
    "nvmlDeviceGetMemoryInfo",
    "nvmlDeviceGetMemoryInfo_v2",
    "nvmlDeviceGetMigDeviceHandleByIndex",
    "nvmlDeviceGetMigMode",
    "nvmlDeviceGetMinMaxClockOfPState",
    "nvmlDeviceGetName",
    "nvmlDeviceGetNvLinkErrorCounter",
    "nvmlDeviceGetNvLinkRemotePciInfo_v2",
    "nvmlDeviceGetNvLinkState",
    "nvmlDeviceGetNvLinkVersion",
    "nvmlDeviceGetOfaUtilization",
    "nvmlDeviceGetP2PStatus",
    "nvmlDeviceGetPciInfo_v3",
    "nvmlDeviceGetPcieReplayCounter",
    "nvmlDeviceGetPerformanceState",
    "nvmlDeviceGetPersistenceMode",
    "nvmlDeviceGetPowerManagementDefaultLimit",
    "nvmlDeviceGetPowerManagementLimit",
    "nvmlDeviceGetPowerManagementLimitConstraints",
    "nvmlDeviceGetPowerUsage",
    "nvmlDeviceGetProcessUtilization",
    "nvmlDeviceGetRowRemapperHistogram",
    "nvmlDeviceGetSerial",
    "nvmlDeviceGetSramEccErrorStatus",
    "nvmlDeviceGetSupportedGraphicsClocks",
    "nvmlDeviceGetSupportedMemoryClocks",
    "nvmlDeviceGetTemperature",
    "nvmlDeviceGetTemperatureThreshold",
    "nvmlDeviceGetTopologyCommonAncestor",
    "nvmlDeviceGetTotalEccErrors",
    "nvmlDeviceGetTotalEnergyConsumption",
    "nvmlDeviceGetUUID",
    "nvmlDeviceGetUtilizationRates",
    "nvmlDeviceGetVbiosVersion",
    "nvmlDeviceGetViolationStatus",
    "nvmlDeviceRegisterEvents",
    "nvmlDeviceResetGpuLockedClocks",
    "nvmlDeviceSetGpuLockedClocks",
    "nvmlDeviceSetPowerManagementLimit",
    "nvmlDeviceValidateInforom",
    "nvmlEventSetCreate",
    "nvmlEventSetFree",
    "nvmlEventSetWait_v2",
    "nvmlGpmMetricsGet",
    "nvmlGpmMigSampleGet",
    "nvmlGpmQueryDeviceSupport",
    "nvmlGpmSampleAlloc",
    "nvmlGpmSampleFree",
    "nvmlGpmSampleGet",
    "nvmlInit",
    "nvmlInit_v2",
    "nvmlShutdown",
    "nvmlSystemGetDriverVersion",
];

/// Every field number that is asked for.
pub const FIELDS_USED: &[u32] = &[
    1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 29, 30, 31, 74, 75, 76, 77, 78, 79, 80, 81, 82, 83,
    91, 94, 138, 139, 142, 143, 144, 145, 161, 162, 163, 164, 165, 185, 186, 190, 192, 193, 194, 202, 204,
    206, 207, 208, 209, 211, 214, 215, 220, 221, 222, 230,
];

/// Every profiling counter that is asked for.
pub const GPM_USED: &[u32] = &[1, 2, 3, 4, 5, 10, 11, 12, 13, 20, 21, 60, 61];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    /// Functions of the library that a text names outside of comments.
    fn named(text: &str) -> impl Iterator<Item = String> {
        let code = text.lines().map(|line| line.split("//").next().unwrap_or(""));
        let words = code.flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'));
        let is_function = |word: &&str| {
            let after = word.strip_prefix("nvml").and_then(|rest| rest.chars().next());
            after.is_some_and(|c| c.is_ascii_uppercase())
                && !word.ends_with("_t")
                && *word != "nvmlReturn"
                && !word.contains("_bindgen")
        };
        words.filter(is_function).map(str::to_owned)
    }

    fn look(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                look(&entry, found);
            } else if entry.file_name().is_some_and(|name| name != "used.rs" && name != "tests.rs") {
                let text = std::fs::read_to_string(&entry).unwrap();
                let production = text.split("#[cfg(test)]\nmod tests").next().unwrap();
                found.extend(named(production));
            }
        }
    }

    #[test]
    fn the_functions_used_are_those_listed() {
        let mut found = BTreeSet::new();
        look(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/nvml"), &mut found);
        let found: Vec<_> = found.iter().map(String::as_str).collect();
        assert_eq!(found, CALLS_USED, "write the list anew");
    }
}
