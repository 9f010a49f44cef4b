//! What each engine calls its counts. A name stands here only when the engine's own documents or code have it.
use model::Metric;

/// One engine's names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Dialect {
    /// The engine.
    pub(super) name: &'static str,
    /// The names of series, and what they count. Several series of one name add up.
    pub(super) series: [(&'static str, Metric); 4],
}

/// Every engine that is understood.
///
/// Sources: vLLM `vllm/v1/metrics/loggers.py` (commit 005a810b; the client library adds `_total` to counters) and
/// docs.vllm.ai, Production Metrics; SGLang `python/sglang/srt/metrics/collector.py` (commit 00ae9c15) and docs.sglang.io,
/// Production Metrics; TGI `router/src/server.rs` and huggingface.co/docs/text-generation-inference, Metrics, whose tokens are
/// histograms that grow when a request ends; llama.cpp `tools/server/README.md`.
/// Triton is missing: its TensorRT-LLM backend counts requests and no tokens (triton-inference-server/server#7145).
pub(super) const DIALECTS: [Dialect; 4] = [
    dialect(
        "vllm",
        [
            "vllm:prompt_tokens_total",
            "vllm:generation_tokens_total",
            "vllm:num_requests_running",
            "vllm:num_requests_waiting",
        ],
    ),
    dialect(
        "sglang",
        [
            "sglang:prompt_tokens_total",
            "sglang:generation_tokens_total",
            "sglang:num_running_reqs",
            "sglang:num_queue_reqs",
        ],
    ),
    dialect(
        "tgi",
        [
            "tgi_request_input_length_sum",
            "tgi_request_generated_tokens_sum",
            "tgi_batch_current_size",
            "tgi_queue_size",
        ],
    ),
    dialect(
        "llamacpp",
        [
            "llamacpp:prompt_tokens_total",
            "llamacpp:tokens_predicted_total",
            "llamacpp:requests_processing",
            "llamacpp:requests_deferred",
        ],
    ),
];

/// Labels that tell ranks of one engine apart which count the same requests; only rank 0 is taken. SGLang has them, and
/// shows more than rank 0 only when asked to.
pub(super) const RANKS: [&str; 2] = ["tp_rank", "pp_rank"];
/// The label that names the model: of vLLM and SGLang.
pub(super) const MODEL: &str = "model_name";

const fn dialect(name: &'static str, names: [&'static str; 4]) -> Dialect {
    let [prompt, generated, running, waiting] = names;
    let series = [
        (prompt, Metric::EngineTokensPrompt),
        (generated, Metric::EngineTokensGenerated),
        (running, Metric::EngineRequestsRunning),
        (waiting, Metric::EngineRequestsWaiting),
    ];
    Dialect { name, series }
}
