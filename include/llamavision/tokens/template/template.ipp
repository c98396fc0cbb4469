// SPDX-License-Identifier: Apache-2.0
// The interpreter behind chat_template, whole.
#pragma once

#include <algorithm>
#include <llamavision/tokens/template/access.ipp>
#include <llamavision/tokens/template/calendar.ipp>
#include <llamavision/tokens/template/evaluate.ipp>
#include <llamavision/tokens/template/expressions.ipp>
#include <llamavision/tokens/template/iteration.ipp>
#include <llamavision/tokens/template/json.ipp>
#include <llamavision/tokens/template/letter_case.ipp>
#include <llamavision/tokens/template/lexer.ipp>
#include <llamavision/tokens/template/machine.ipp>
#include <llamavision/tokens/template/names.ipp>
#include <llamavision/tokens/template/operators.ipp>
#include <llamavision/tokens/template/printing.ipp>
#include <llamavision/tokens/template/scopes.ipp>
#include <llamavision/tokens/template/statements.ipp>
#include <llamavision/tokens/template/template.hpp>
#include <llamavision/tokens/template/text_methods.ipp>
#include <nlohmann/json.hpp>

namespace llamavision::tokens {

LLAMAVISION_INLINE chat_template::chat_template(std::string_view source, std::string const& name,
                                                template_limits limits)
    : program_(std::make_shared<jinja::program const>(jinja::parse(source, name))), limits_(limits) {}

LLAMAVISION_INLINE rendering chat_template::render(template_inputs const& inputs) const {
    jinja::machine m(*program_, limits_, inputs.now ? *inputs.now : local_time());
    std::map<std::string, jinja::value, std::less<>> variables;
    auto const given = [&](nlohmann::ordered_json const* j) {
        return j ? jinja::value_of(m, *j, true) : jinja::value(nullptr);
    };
    variables["messages"] = inputs.messages ? given(inputs.messages) : m.list({});
    variables["tools"] = given(inputs.tools);
    variables["documents"] = given(inputs.documents);
    variables["add_generation_prompt"] = jinja::value(inputs.add_generation_prompt);
    if (inputs.variables)
        for (auto const& [name, v] : inputs.variables->items()) variables[name] = jinja::value_of(m, v, false);
    auto text = m.run(std::move(variables));
    rendering made;
    made.from_user = text.from_user();
    made.text = std::move(text).take_bytes();
    return made;
}

LLAMAVISION_INLINE std::vector<std::string> const& chat_template::inputs() const { return program_->inputs; }

LLAMAVISION_INLINE bool chat_template::reads(std::string_view name) const {
    auto const& names = program_->inputs;
    return std::binary_search(names.begin(), names.end(), name);
}

} // namespace llamavision::tokens
