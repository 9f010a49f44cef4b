//! What each engine calls its counts. A name stands here only when the engine's own documents or code have it.
use model::Metric;

/// One engine's names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Dialect {
    /// The engine.
    pub(super) name: &'static str,
    /// The names of series, and what they count. Several series of one name add up.
    pub(super) series: &'static [(&'static str, Metric)],
}

/// Series of one engine at most.
pub(super) const SERIES: usize = 6;

/// Every engine that is understood.
///
/// Sources: vLLM `vllm/v1/metrics/loggers.py` (commit 005a810b; the client library adds `_total` to counters) and
/// docs.vllm.ai, Production Metrics; SGLang `python/sglang/srt/metrics/collector.py` (commit 00ae9c15) and docs.sglang.io,
/// Production Metrics; TGI `router/src/server.rs` and huggingface.co/docs/text-generation-inference, Metrics, whose tokens are
/// histograms that grow when a request ends; llama.cpp `tools/server/README.md`.
/// Time between tokens: vLLM and SGLang count it as tokens come (a histogram's sum and count); those of TGI and llama.cpp grow when a
/// request ends, and so say nothing of the time since the last page.
/// Triton is missing: its TensorRT-LLM backend counts requests and no tokens (triton-inference-server/server#7145).
pub(super) const DIALECTS: [Dialect; 4] = [
    Dialect {
        name: "vllm",
        series: &[
            ("vllm:prompt_tokens_total", Metric::EngineTokensPrompt),
            ("vllm:generation_tokens_total", Metric::EngineTokensGenerated),
            ("vllm:num_requests_running", Metric::EngineRequestsRunning),
            ("vllm:num_requests_waiting", Metric::EngineRequestsWaiting),
            ("vllm:inter_token_latency_seconds_sum", Metric::EngineStepTime),
            ("vllm:inter_token_latency_seconds_count", Metric::EngineSteps),
        ],
    },
    Dialect {
        name: "sglang",
        series: &[
            ("sglang:prompt_tokens_total", Metric::EngineTokensPrompt),
            ("sglang:generation_tokens_total", Metric::EngineTokensGenerated),
            ("sglang:num_running_reqs", Metric::EngineRequestsRunning),
            ("sglang:num_queue_reqs", Metric::EngineRequestsWaiting),
            ("sglang:inter_token_latency_seconds_sum", Metric::EngineStepTime),
            ("sglang:inter_token_latency_seconds_count", Metric::EngineSteps),
        ],
    },
    Dialect {
        name: "tgi",
        series: &[
            ("tgi_request_input_length_sum", Metric::EngineTokensPrompt),
            ("tgi_request_generated_tokens_sum", Metric::EngineTokensGenerated),
            ("tgi_batch_current_size", Metric::EngineRequestsRunning),
            ("tgi_queue_size", Metric::EngineRequestsWaiting),
        ],
    },
    Dialect {
        name: "llamacpp",
        series: &[
            ("llamacpp:prompt_tokens_total", Metric::EngineTokensPrompt),
            ("llamacpp:tokens_predicted_total", Metric::EngineTokensGenerated),
            ("llamacpp:requests_processing", Metric::EngineRequestsRunning),
            ("llamacpp:requests_deferred", Metric::EngineRequestsWaiting),
        ],
    },
];

/// Labels that tell ranks of one engine apart which count the same requests; only rank 0 is taken. SGLang has them, and
/// shows more than rank 0 only when asked to.
pub(super) const RANKS: [&str; 2] = ["tp_rank", "pp_rank"];
/// The label that names the model: of vLLM and SGLang.
pub(super) const MODEL: &str = "model_name";
