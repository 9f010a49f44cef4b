//! Profiling samples: memory that the library keeps for one, taking one, and what happened between two.
use crate::nvml::codes::Fault;
use crate::nvml::session::{Gpu, Session};
use model::Calls;
use nvml_wrapper::error::nvml_sym;
use nvml_wrapper_sys::bindings::{
    NVML_GPM_METRICS_GET_VERSION, NVML_GPM_SUPPORT_VERSION, nvmlGpmMetric_t, nvmlGpmMetric_t__bindgen_ty_1,
    nvmlGpmMetricsGet_t, nvmlGpmSample_t, nvmlGpmSupport_t,
};
use std::ffi::c_uint;
use std::sync::Arc;

/// The most metrics of one question. The header's own number went from 210 to 477 without a new version, so a library may
/// touch that many entries whatever it was asked.
const METRICS_ROOM: usize = 512;

/// Whether the device has profiling samples.
///
/// # Errors
/// The fault of the call.
pub(in crate::nvml) fn supported(gpu: &Gpu<'_>) -> Result<bool, Fault> {
    let query = nvml_sym(gpu.nvml().lib().nvmlGpmQueryDeviceSupport.as_ref())?;
    let mut support = nvmlGpmSupport_t { version: NVML_GPM_SUPPORT_VERSION, isSupportedDevice: 0 };
    gpu.during("nvmlGpmQueryDeviceSupport", || {
        // SAFETY: the device belongs to this library, and the pointer is valid for reads and writes.
        Fault::check(unsafe { query(gpu.handle().raw(), &mut support) })
    })?;
    Ok(support.isSupportedDevice != 0)
}

/// Memory for one sample; freed on drop.
pub(in crate::nvml) struct Sample {
    session: Arc<Session>,
    calls: Calls,
    raw: nvmlGpmSample_t,
}

// SAFETY: the sample is used by one thread at a time, whoever owns it.
unsafe impl Send for Sample {}

impl std::fmt::Debug for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sample").finish_non_exhaustive()
    }
}

impl Drop for Sample {
    fn drop(&mut self) {
        if let Ok(free) = &self.session.nvml().lib().nvmlGpmSampleFree {
            // SAFETY: the sample came from nvmlGpmSampleAlloc of this session and is not used afterwards.
            self.calls.during("nvmlGpmSampleFree", || unsafe { free(self.raw) });
        }
    }
}

impl Sample {
    /// Memory for a sample that has not been taken.
    ///
    /// # Errors
    /// The fault of the call, or that the library lacks what is needed to give it back.
    pub(in crate::nvml) fn new(session: &Arc<Session>, gpu: &Gpu<'_>) -> Result<Self, Fault> {
        let lib = session.nvml().lib();
        nvml_sym(lib.nvmlGpmSampleFree.as_ref())?;
        let alloc = nvml_sym(lib.nvmlGpmSampleAlloc.as_ref())?;
        let mut raw: nvmlGpmSample_t = std::ptr::null_mut();
        // SAFETY: the pointer is valid for the write of a handle.
        gpu.during("nvmlGpmSampleAlloc", || Fault::check(unsafe { alloc(&mut raw) }))?;
        Ok(Self { session: Arc::clone(session), calls: gpu.calls().clone(), raw })
    }

    /// Takes the sample of a device, or of one of its GPU instances.
    ///
    /// # Errors
    /// The fault of the call.
    pub(in crate::nvml) fn take(&mut self, gpu: &Gpu<'_>, instance: Option<u32>) -> Result<(), Fault> {
        let lib = gpu.nvml().lib();
        match instance {
            None => {
                let take = nvml_sym(lib.nvmlGpmSampleGet.as_ref())?;
                // SAFETY: device and sample belong to this library.
                gpu.during("nvmlGpmSampleGet", || Fault::check(unsafe { take(gpu.handle().raw(), self.raw) }))
            }
            Some(id) => {
                let take = nvml_sym(lib.nvmlGpmMigSampleGet.as_ref())?;
                gpu.during("nvmlGpmMigSampleGet", || {
                    // SAFETY: as above.
                    Fault::check(unsafe { take(gpu.handle().raw(), id, self.raw) })
                })
            }
        }
    }
}

/// A question for what happened between two samples, as the library wants it, with room for newer libraries.
#[repr(C)]
struct Question {
    version: c_uint,
    count: c_uint,
    earlier: nvmlGpmSample_t,
    later: nvmlGpmSample_t,
    metrics: [nvmlGpmMetric_t; METRICS_ROOM],
}

/// Memory for questions that is kept.
pub(in crate::nvml) struct Sheet(Box<Question>);

// SAFETY: the pointers inside are set for the time of a call only, or point to texts of the library that nobody follows.
unsafe impl Send for Sheet {}

impl std::fmt::Debug for Sheet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sheet").field("count", &self.0.count).finish_non_exhaustive()
    }
}

impl Default for Sheet {
    fn default() -> Self {
        let null = std::ptr::null_mut;
        let metric_info = nvmlGpmMetric_t__bindgen_ty_1 { shortName: null(), longName: null(), unit: null() };
        let blank = nvmlGpmMetric_t { metricId: 0, nvmlReturn: 999, value: 0.0, metricInfo: metric_info };
        let (earlier, later) = (std::ptr::null_mut(), std::ptr::null_mut());
        let version = NVML_GPM_METRICS_GET_VERSION;
        Self(Box::new(Question { version, count: 0, earlier, later, metrics: [blank; METRICS_ROOM] }))
    }
}

impl Sheet {
    /// Asks what happened between two samples; hands over each answer with its place in the question.
    ///
    /// # Errors
    /// The fault of the call as a whole.
    pub(in crate::nvml) fn ask(
        &mut self,
        gpu: &Gpu<'_>,
        samples: (&Sample, &Sample),
        numbers: impl Iterator<Item = u32>,
        mut tell: impl FnMut(usize, Result<f64, Fault>),
    ) -> Result<(), Fault> {
        let ask = nvml_sym(gpu.nvml().lib().nvmlGpmMetricsGet.as_ref())?;
        let question = &mut *self.0;
        (question.earlier, question.later) = (samples.0.raw, samples.1.raw);
        let mut count = 0;
        for (metric, number) in question.metrics.iter_mut().zip(numbers) {
            // A metric that the library does not even touch is no success.
            (metric.metricId, metric.nvmlReturn) = (number, 999);
            count += 1;
        }
        // At most METRICS_ROOM.
        question.count = count as c_uint;
        let pointer = std::ptr::from_mut(question).cast::<nvmlGpmMetricsGet_t>();
        gpu.during("nvmlGpmMetricsGet", || {
            // SAFETY: the question begins as the binding's structure does and is larger than any header's; both samples belong
            // to this library and outlive the call.
            Fault::check(unsafe { ask(pointer) })
        })?;
        for (place, metric) in question.metrics[..count].iter().enumerate() {
            tell(place, Fault::check(metric.nvmlReturn).map(|()| metric.value));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    #[test]
    fn a_question_is_laid_out_as_the_header_says_and_larger_than_any_header() {
        assert_eq!(offset_of!(Question, earlier), offset_of!(nvmlGpmMetricsGet_t, sample1));
        assert_eq!(offset_of!(Question, metrics), offset_of!(nvmlGpmMetricsGet_t, metrics));
        // 19104 bytes with the 477 metrics of the header of version 13.5.
        assert!(size_of::<Question>() >= 19_104);
        assert_eq!(size_of::<nvmlGpmMetric_t>(), 40);
    }
}
