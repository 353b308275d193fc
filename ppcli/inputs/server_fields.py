"""Fields of the body of a chat completion that only servers know, and those that nobody takes."""

import json
from typing import Any

# Of the OpenAI API and of vLLM. Whatever they say, the answer is one text.
SERVER_FIELDS = frozenset(
    {
        *("frequency_penalty", "logit_bias", "prediction", "reasoning_effort", "response_format"),
        *("verbosity", "add_generation_prompt", "add_special_tokens", "allowed_token_ids"),
        *(
            "bad_words",
            "chat_template",
            "chat_template_kwargs",
            "continue_final_message",
            "documents",
        ),
        *("guided_choice", "guided_decoding_backend", "guided_grammar", "guided_json"),
        *("guided_regex", "guided_whitespace_pattern", "ignore_eos", "include_reasoning"),
        *("include_stop_str_in_output", "length_penalty", "min_tokens", "repetition_detection"),
        *(
            "skip_special_tokens",
            "spaces_between_special_tokens",
            "stop_token_ids",
            "structured_outputs",
        ),
        *("thinking_token_budget", "vllm_xargs"),
    }
)
# These do not change the answer. A server gets them; a local model has no use for them.
WITHOUT_EFFECT = frozenset(
    {
        *("user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"),
        *("priority", "request_id", "cache_salt"),
    }
)
# Fields that are accepted only with the values that describe the default behaviour.
AS_IT_IS: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "stream": (False,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "parallel_tool_calls": (True, False),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
}
_ONE_ANSWER = "a request has one answer"
_TEXT = "an answer is text"
_NO_PROBABILITIES = "rows have no column for probabilities"
REFUSED = {
    "n": _ONE_ANSWER,
    "best_of": _ONE_ANSWER,
    "use_beam_search": _ONE_ANSWER,
    "stream": "a batch has whole answers",
    "stream_options": "a batch has whole answers",
    "logprobs": _NO_PROBABILITIES,
    "top_logprobs": _NO_PROBABILITIES,
    "prompt_logprobs": _NO_PROBABILITIES,
    "tools": _TEXT,
    "tool_choice": _TEXT,
    "functions": _TEXT,
    "function_call": _TEXT,
    "modalities": _TEXT,
    "audio": _TEXT,
    "web_search_options": "answers come from the images and the prompt",
    "mm_processor_kwargs": "the options of the coder belong on the command line",
    "truncate_prompt_tokens": "it would cut images",
    "echo": "a row has the prompt already",
}


def fields_of_request(fields: dict[str, Any]) -> dict[str, Any]:
    """Return those fields that can change the answer."""
    return {name: value for name, value in fields.items() if name not in WITHOUT_EFFECT}


def sendable(value: Any) -> Any:  # noqa: ANN401
    """Return a value that a server can read.

    Raises:
        ValueError: it contains NaN, an infinite number or an unpaired surrogate.
    """
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        raise ValueError("contains an unpaired surrogate") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except ValueError:
        raise ValueError("contains NaN or an infinite number, which JSON does not have") from None
    return value
