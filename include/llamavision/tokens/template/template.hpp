// SPDX-License-Identifier: Apache-2.0
// Chat templates: the subset of Jinja that published models' templates are written in, rendered as transformers renders
// it. What is not interpreted is refused when the template is parsed, by line, column and name.
#pragma once

#include <cstddef>
#include <llamavision/support/separate.hpp>
#include <llamavision/tokens/template/calendar.hpp>
#include <llamavision/tokens/template/errors.hpp>
#include <llamavision/tokens/template/marked_text.hpp>
#include <llamavision/tokens/template/meter.hpp>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace llamavision::tokens {

namespace jinja {
struct program;
}

/// What a template is rendered with. Names are transformers': apply_chat_template's arguments.
struct template_inputs {
    nlohmann::ordered_json const* messages = nullptr;  ///< a list of objects; null is an empty list
    nlohmann::ordered_json const* tools = nullptr;     ///< a list of JSON schemas; null is None
    nlohmann::ordered_json const* documents = nullptr; ///< a list of objects; null is None
    bool add_generation_prompt = true;
    /// An object of further variables: the special tokens by name ("bos_token": "<|begin_of_text|>"), and whatever
    /// else the template reads ("enable_thinking": false). These are the caller's own, not marked as a user's, and
    /// win over the ones above.
    nlohmann::ordered_json const* variables = nullptr;
    std::optional<calendar_time> now{}; ///< what strftime_now sees; nothing: the clock's local time
};

/// A rendered conversation.
struct rendering {
    std::string text;
    /// Where text lies that comes from messages, tools or documents, ascending. What the template itself says is the
    /// rest, and so are the words that name a known role or a known type of content.
    std::vector<text_range> from_user;
};

/// A parsed template. Immutable; cheap to copy, safe to share among threads.
class chat_template {
  public:
    /// `name` is the file, for errors. Throws template_error.
    explicit chat_template(std::string_view source, std::string const& name = "chat template",
                           template_limits limits = {});

    /// The same bytes as transformers' apply_chat_template(tokenize=False) gives. Throws template_refusal with the
    /// template's own words if it calls raise_exception, and rendering_error for other faults.
    [[nodiscard]] rendering render(template_inputs const& inputs) const;

    /// The variables that it reads and does not set before, ascending, with those that always are there: a name that
    /// nobody gives is undefined.
    [[nodiscard]] std::vector<std::string> const& inputs() const;

    /// Whether `name` is among them: `tools`, `strftime_now`, `enable_thinking`, ...
    [[nodiscard]] bool reads(std::string_view name) const;

  private:
    std::shared_ptr<jinja::program const> program_;
    template_limits limits_;
};

} // namespace llamavision::tokens

#if !defined(LLAMAVISION_SEPARATE)
#include <llamavision/tokens/template/template.ipp>
#endif
