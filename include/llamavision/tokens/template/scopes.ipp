// SPDX-License-Identifier: Apache-2.0
// Which variable a name means. jinja2 decides that once, when it compiles: a scope knows all names that are assigned
// anywhere in it, before its first statement runs. So a name that is assigned to further down hides the input of that
// name from the beginning, and what a loop's body assigns is gone with each turn. The rules are those of
// jinja2 3.1.6's idtracking.py; `symbols` is its Symbols, and each scope is analysed before it is walked.
#pragma once

#include <algorithm>
#include <llamavision/support/quoted.hpp>
#include <llamavision/tokens/template/parser.hpp>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>

namespace llamavision::tokens::jinja {

namespace detail {

// A function while its slots are counted.
struct function {
    function* outer = nullptr;
    function_shape* shape = nullptr;
};

class symbols {
  public:
    symbols(function* in, symbols const* parent)
        : function_(in), parent_(parent), slots_(std::make_shared<std::map<std::string, std::uint32_t>>()) {}

    void load(std::string const& name) {
        if (!find(name)) define(name, {0, first_value::source::inputs, {}, name});
    }

    void store(std::string const& name) {
        stores_.insert(name);
        if (refs_.count(name) > 0) return;
        if (auto const outer = further_out(name))
            define(name, {0, first_value::source::outer, *outer, name});
        else
            define(name, {0, first_value::source::nothing, {}, name});
    }

    std::uint32_t parameter(std::string const& name) {
        stores_.insert(name);
        return define(name, {0, first_value::source::given, {}, name});
    }

    // The branches of an `if` were analysed in copies of this scope: what only some of them assign keeps its value
    // from outside in the others.
    void merge(std::vector<symbols> const& branches) {
        std::set<std::string> stored;
        for (auto const& b : branches) stored.insert(b.stores_.begin(), b.stores_.end());
        for (auto const& name : stores_) stored.erase(name);
        for (auto const& b : branches) {
            for (auto const& [name, slot] : b.refs_) refs_[name] = slot;
            for (auto const& [slot, first] : b.loads_) loads_[slot] = first;
            stores_.insert(b.stores_.begin(), b.stores_.end());
        }
        for (auto const& name : stored) {
            auto const slot = refs_.at(name);
            auto const outer = further_out(name);
            loads_[slot] = outer ? first_value{slot, first_value::source::outer, *outer, name}
                                 : first_value{slot, first_value::source::inputs, {}, name};
        }
    }

    // The place of a name as code of this scope sees it; nothing if no scope around has heard of it.
    std::optional<variable> find(std::string const& name) const {
        std::uint32_t hops = 0;
        for (auto const* s = this; s; s = s->parent_) {
            if (auto const found = s->refs_.find(name); found != s->refs_.end()) return variable{hops, found->second};
            if (s->parent_ && s->parent_->function_ != s->function_) ++hops;
        }
        return std::nullopt;
    }

    // The same, for code that runs: functions whose slots are read from inside another one are marked.
    std::optional<variable> use(std::string const& name) const {
        auto const found = find(name);
        captured(found);
        return found;
    }

    scope first_values() const {
        scope made;
        for (auto const& [slot, first] : loads_) {
            made.push_back(first);
            if (first.from == first_value::source::outer) captured(first.outer);
        }
        return made;
    }

    function* in() const { return function_; }

  private:
    std::optional<variable> further_out(std::string const& name) const {
        auto found = parent_ ? parent_->find(name) : std::nullopt;
        if (found && parent_->function_ != function_) ++found->hops;
        return found;
    }
    std::uint32_t define(std::string const& name, first_value first) {
        auto const [slot, fresh] = slots_->try_emplace(name, function_->shape->slots);
        if (fresh) ++function_->shape->slots;
        first.slot = slot->second;
        refs_[name] = slot->second;
        loads_[slot->second] = std::move(first);
        return slot->second;
    }
    void captured(std::optional<variable> const& v) const {
        auto* f = function_;
        for (std::uint32_t hop = 0; v && hop < v->hops; ++hop) {
            f = f->outer;
            f->shape->encloses = true;
        }
    }

    function* function_;
    symbols const* parent_;
    std::shared_ptr<std::map<std::string, std::uint32_t>> slots_; // one slot a name, in copies of the scope too
    std::map<std::string, std::uint32_t> refs_;
    std::map<std::uint32_t, first_value> loads_;
    std::set<std::string> stores_;
};

// jinja2: FrameSymbolVisitor. What a scope's own code reads and assigns; it stops where an inner scope begins.
class analysis {
  public:
    explicit analysis(symbols& s) : s_(&s) {}

    void reads(expression const& e) {
        if (e.what == expression::form::name || e.what == expression::form::member) s_->load(e.name);
        for (auto const& inner : e.parts) reads(inner);
    }
    void stores(expression const& target, bool as_parameter = false) {
        if (target.what == expression::form::member)
            s_->load(target.name);
        else if (target.what == expression::form::name && as_parameter)
            s_->parameter(target.name);
        else if (target.what == expression::form::name)
            s_->store(target.name);
        for (auto const& inner : target.parts) stores(inner, as_parameter);
    }
    void visit(block const& b) {
        for (auto const& s : b) std::visit([&](auto const& what) { visit(what); }, s.what);
    }

  private:
    void visit(output const& o) {
        for (auto const& e : o.shown) reads(e);
    }
    void visit(condition const& c) {
        reads(c.tests[0]);
        std::vector<symbols> branches;
        branches.push_back(branch([&] { visit(c.bodies[0]); }));
        branches.push_back(branch([&] { // every elif is an `if` of its own, one after the other
            for (std::size_t i = 1; i < c.tests.size(); ++i) {
                reads(c.tests[i]);
                s_->merge({branch([&] { visit(c.bodies[i]); })});
            }
        }));
        branches.push_back(branch([&] {
            if (c.bodies.size() > c.tests.size()) visit(c.bodies.back());
        }));
        s_->merge(branches);
    }
    void visit(for_loop const& f) { reads(f.iterable); }
    void visit(assignment const& a) {
        reads(a.assigned);
        stores(a.target);
    }
    void visit(capture const& c) { stores(c.target); }
    void visit(macro_definition const& m) { s_->store(m.macro.name); }
    void visit(call_block const& c) { reads(c.call); }
    void visit(generation const&) {}
    void visit(filter_block const& f) { reads(f.filter); }
    void visit(with_block const& w) {
        for (auto const& e : w.assigned) reads(e);
    }
    void visit(jump) {}

    template <class Visit>
    symbols branch(Visit visit_branch) {
        auto* const around = s_;
        symbols copy = *around;
        s_ = &copy;
        visit_branch();
        s_ = around;
        return copy;
    }

    symbols* s_;
};

// jinja2: find_undeclared. Which of `names` are read before they are assigned to, anywhere inside.
class undeclared {
  public:
    explicit undeclared(std::set<std::string> names) : names_(std::move(names)) {}
    std::set<std::string> in(block const& b) {
        visit(b);
        return found_;
    }

  private:
    void reads(expression const& e) {
        if (e.what == expression::form::name && names_.count(e.name) > 0) found_.insert(e.name);
        for (auto const& inner : e.parts) reads(inner);
    }
    void stores(expression const& target) {
        if (target.what == expression::form::name) names_.erase(target.name);
        for (auto const& inner : target.parts) stores(inner);
    }
    void visit(block const& b) {
        for (auto const& s : b) std::visit([&](auto const& what) { visit(what); }, s.what);
    }
    void visit(output const& o) {
        for (auto const& e : o.shown) reads(e);
    }
    void visit(condition const& c) {
        reads(c.tests[0]);
        visit(c.bodies[0]);
        for (std::size_t i = 1; i < c.bodies.size(); ++i) {
            if (i < c.tests.size()) reads(c.tests[i]);
            visit(c.bodies[i]);
        }
    }
    void visit(for_loop const& f) {
        stores(f.target);
        reads(f.iterable);
        visit(f.body);
        visit(f.otherwise);
        reads(f.test);
    }
    void visit(assignment const& a) {
        stores(a.target);
        reads(a.assigned);
    }
    void visit(capture const& c) {
        stores(c.target);
        reads(c.filter);
        visit(c.body);
    }
    void visit(macro_body const& m) {
        for (auto const& name : m.parameters) names_.erase(name);
        for (auto const& e : m.defaults) reads(e);
        visit(m.body);
    }
    void visit(macro_definition const& m) { visit(m.macro); }
    void visit(call_block const& c) {
        reads(c.call);
        visit(c.caller);
    }
    void visit(generation const& g) { visit(g.body); }
    void visit(filter_block const& f) {
        visit(f.body);
        reads(f.filter);
    }
    void visit(with_block const& w) {
        for (auto const& e : w.targets) stores(e);
        for (auto const& e : w.assigned) reads(e);
        visit(w.body);
    }
    void visit(jump) {}

    std::set<std::string> names_, found_;
};

// jinja2: CodeGenerator. Walks the program, opens scopes, and writes places into names.
class placement {
  public:
    explicit placement(program& p) : p_(p) {}

    void run() {
        function outermost{nullptr, &p_.shape};
        symbols s(&outermost, nullptr);
        analysis(s).visit(p_.body);
        place(p_.body, s);
        p_.outermost = s.first_values();
        inputs_of(p_.outermost);
        std::sort(p_.inputs.begin(), p_.inputs.end());
        p_.inputs.erase(std::unique(p_.inputs.begin(), p_.inputs.end()), p_.inputs.end());
    }

  private:
    void place(expression& e, symbols const& s) {
        if (e.what == expression::form::name || e.what == expression::form::member) {
            auto const found = s.use(e.name);
            if (!found) throw template_error(p_.name, e.at, "the variable " + in_quotes(e.name) + " is not known here");
            e.place = *found;
        }
        for (auto& inner : e.parts) place(inner, s);
    }
    void place(block& b, symbols& s) {
        for (auto& statement : b) std::visit([&](auto& what) { place(what, s); }, statement.what);
    }
    scope close(symbols const& s) {
        auto made = s.first_values();
        inputs_of(made);
        return made;
    }
    void inputs_of(scope const& made) {
        for (auto const& first : made)
            if (first.from == first_value::source::inputs) p_.inputs.push_back(first.name);
    }

    void place(output& o, symbols& s) {
        for (auto& e : o.shown) place(e, s);
    }
    void place(condition& c, symbols& s) {
        for (auto& e : c.tests) place(e, s);
        for (auto& b : c.bodies) place(b, s);
    }

    void place(for_loop& f, symbols& s) {
        refuse_loop_as_target(f.target);
        refuse_loop_as_target(f.body);
        refuse_loop_as_target(f.otherwise);
        place(f.iterable, s);
        function own{s.in(), &f.recursive_shape};
        auto* const in = f.recursive ? &own : s.in();
        symbols body(in, &s);
        f.loop_slot = body.parameter("loop");
        f.uses_loop = f.recursive || !undeclared({"loop"}).in(f.body).empty();
        analysis(body).stores(f.target, true);
        analysis(body).visit(f.body);
        if (f.test.what != expression::form::absent) f.test_target = f.target;
        place(f.target, body);
        place(f.body, body);
        f.body_scope = close(body);
        if (f.has_otherwise) {
            symbols otherwise(in, &s);
            analysis(otherwise).visit(f.otherwise);
            place(f.otherwise, otherwise);
            f.otherwise_scope = close(otherwise);
        }
        if (f.test.what != expression::form::absent) place_test(f, s, in);
    }

    // The test runs in a function of its own, a generator, that assigns to variables of its own.
    void place_test(for_loop& f, symbols& s, function* in) {
        function own{in, &f.test_shape};
        symbols between(in, &s); // of a recursive loop, whose function holds nothing that the test can see
        symbols test(&own, in == s.in() ? &s : &between);
        analysis(test).stores(f.target, true);
        analysis(test).reads(f.test);
        place(f.test_target, test);
        place(f.test, test);
        f.test_scope = close(test);
    }

    void refuse_loop_as_target(expression const& target) {
        if (target.what == expression::form::name && target.name == "loop")
            throw template_error(p_.name, target.at, "an assignment to \"loop\" inside of a loop");
        for (auto const& inner : target.parts) refuse_loop_as_target(inner);
    }
    void refuse_loop_as_target(block const& b) {
        for (auto const& s : b) {
            if (auto const* a = std::get_if<assignment>(&s.what)) refuse_loop_as_target(a->target);
            if (auto const* c = std::get_if<capture>(&s.what)) {
                refuse_loop_as_target(c->target);
                refuse_loop_as_target(c->body);
            }
            if (auto const* c = std::get_if<condition>(&s.what))
                for (auto const& inner : c->bodies) refuse_loop_as_target(inner);
            if (auto const* m = std::get_if<macro_definition>(&s.what)) refuse_loop_as_target(m->macro.body);
            if (auto const* c = std::get_if<call_block>(&s.what)) refuse_loop_as_target(c->caller.body);
            if (auto const* g = std::get_if<generation>(&s.what)) refuse_loop_as_target(g->body.body);
            if (auto const* f = std::get_if<filter_block>(&s.what)) refuse_loop_as_target(f->body);
            if (auto const* w = std::get_if<with_block>(&s.what)) refuse_loop_as_target(w->body);
        }
    }

    void place(assignment& a, symbols& s) {
        place(a.assigned, s);
        place(a.target, s);
    }
    void place(capture& c, symbols& s) {
        symbols inside(s.in(), &s);
        analysis(inside).visit(c.body);
        place(c.body, inside);
        place(c.filter, inside);
        place(c.target, s);
        c.inside = close(inside);
    }
    void place(macro_body& m, symbols& s) {
        function own{s.in(), &m.shape};
        symbols inside(&own, &s);
        for (auto const& name : m.parameters) m.slots.push_back(inside.parameter(name));
        auto const analyse = [&] {
            for (auto const& e : m.defaults) analysis(inside).reads(e);
            analysis(inside).visit(m.body);
        };
        analyse();
        auto const special = undeclared({"caller", "kwargs", "varargs"}).in(m.body);
        auto const takes = [&](char const* name, bool& takes_it, std::uint32_t& slot) {
            if (special.count(name) == 0) return;
            if (std::find(m.parameters.begin(), m.parameters.end(), name) != m.parameters.end()) return;
            takes_it = true;
            slot = inside.parameter(name);
        };
        takes("caller", m.takes_caller, m.caller);
        takes("kwargs", m.takes_keywords, m.keywords);
        takes("varargs", m.takes_rest, m.rest);
        analyse();
        for (auto& e : m.defaults) place(e, inside);
        place(m.body, inside);
        m.inside = close(inside);
    }
    void place(macro_definition& m, symbols& s) {
        place(m.macro, s);
        m.place = *s.use(m.macro.name);
    }
    void place(call_block& c, symbols& s) {
        place(c.caller, s);
        place(c.call, s);
    }
    void place(generation& g, symbols& s) { place(g.body, s); }
    void place(filter_block& f, symbols& s) {
        symbols inside(s.in(), &s);
        analysis(inside).visit(f.body);
        analysis(inside).reads(f.filter);
        place(f.body, inside);
        place(f.filter, inside);
        f.inside = close(inside);
    }
    void place(with_block& w, symbols& s) {
        symbols inside(s.in(), &s);
        for (auto const& e : w.targets) analysis(inside).stores(e, true);
        analysis(inside).visit(w.body);
        for (auto& e : w.assigned) place(e, s);
        for (auto& e : w.targets) place(e, inside);
        place(w.body, inside);
        w.inside = close(inside);
    }
    void place(jump, symbols&) {}

    program& p_;
};

} // namespace detail

LLAMAVISION_INLINE void place_variables(program& p) { detail::placement(p).run(); }

} // namespace llamavision::tokens::jinja
