#include "text/jinja/interpreter.h"

#include <gmock/gmock.h>

#include "text/chat_template.h"

namespace localai::text {
namespace {

using ::testing::HasSubstr;

std::string render(std::string_view source, const std::string& variables = "{}",
                   const TemplateLimits& limits = {}) {
  auto compiled = ChatTemplate::compile(source, limits);
  if (!compiled.ok()) return "compile: " + compiled.error().message;
  auto parsed = parse_json(variables);
  LAI_CHECK(parsed.ok());
  auto text = compiled->render(*parsed);
  return text.ok() ? *text : "render: " + text.error().message;
}

TEST(ChatTemplate, TrimsAsJinjaDoes) {
  EXPECT_EQ(render("a\n  {% if true %}\n  b\n  {% endif %}\nc\n"), "a\n  b\nc");
  EXPECT_EQ(render("a \n {{- 1 -}} \n b"), "a1b");
  EXPECT_EQ(render("  {%+ if true %}x{% endif +%}\ny"), "  x\ny");
  EXPECT_EQ(render("{# c #}\n{% raw %}{{ x }}{% endraw %}\nz"), "{{ x }}z");
}

TEST(ChatTemplate, EvaluatesAsPythonDoes) {
  EXPECT_EQ(render("{{ 7 // -2 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 10 }}"), "-4 2 3.5 1024");
  EXPECT_EQ(render("{{ [1, 'a', none, true, {'k': (1,)}] }}"), "[1, 'a', None, True, {'k': (1,)}]");
  EXPECT_EQ(render("{{ '日本語'[::-1] }}{{ 'straße'|upper }}{{ 'é'|length }}"), "語本日STRASSE1");
  EXPECT_EQ(render("{{ 1 < 2 < 3 }}{{ x is defined }}{{ x }}{{ x.y is defined }}", "{\"x\": {}}"),
            "TrueTrue{}False");
  EXPECT_EQ(render("{{ 1e16 }} {{ 0.1 }} {{ 1e-5 }} {{ 100.0 }}"), "1e+16 0.1 1e-05 100.0");
}

TEST(ChatTemplate, LoopsHaveTheirOwnScope) {
  EXPECT_EQ(render("{% set x = 0 %}{% for i in [1, 2] %}{% set x = i %}{% endfor %}{{ x }}"), "0");
  EXPECT_EQ(render("{% set n = namespace(x=0) %}{% for i in [1, 2] %}{% set n.x = n.x + i %}"
                   "{% endfor %}{{ n.x }}"),
            "3");
  EXPECT_EQ(render("{% for i in range(9) if i % 2 %}{{ loop.index }}{{ i }}{{ loop.last }} "
                   "{% if i > 4 %}{% break %}{% endif %}{% endfor %}"),
            "11False 23False 35False ");
}

TEST(ChatTemplate, MacrosAndCallers) {
  EXPECT_EQ(render("{% macro m(a, b=2) %}{{ a }}{{ b }}{{ kwargs }}{{ caller('z') }}{% endmacro %}"
                   "{% call(q) m(1, c=3) %}<{{ q }}>{% endcall %}"),
            "12{'c': 3}<z>");
}

TEST(ChatTemplate, CompileErrorsNameThePlace) {
  EXPECT_EQ(render("a\n{{ x|nope }}"),
            "compile: template: line 2, column 6: the filter 'nope' is not supported");
  EXPECT_EQ(render("{{ x is nope }}"),
            "compile: template: line 1, column 9: the test 'nope' is not supported");
  EXPECT_EQ(render("{{ nope() }}"),
            "compile: template: line 1, column 4: the function 'nope' is not supported");
  EXPECT_EQ(render("\n\n{% include 'x' %}"),
            "compile: template: line 3, column 4: the tag 'include' is not supported");
  EXPECT_THAT(render("{% for x in y %}"), HasSubstr("'endfor'"));
}

TEST(ChatTemplate, RunTimeErrorsNameTheLine) {
  EXPECT_EQ(render("\n{{ x.y }}"), "render: line 2: 'x' is undefined");
  EXPECT_EQ(render("{{ raise_exception('roles') }}"), "render: roles");
  EXPECT_EQ(render("{{ 9223372036854775807 + 1 }}"),
            "render: line 1: the result of + does not fit in 64 bits");
}

TEST(ChatTemplate, LimitsHold) {
  const TemplateLimits small{
      .steps_max = 20000, .output_bytes_max = 4096, .memory_bytes_max = 1 << 18, .depth_max = 32};
  for (const char* hostile :
       {"{% for a in range(99999) %}{% endfor %}", "{{ 'x' * 5000 }}", "{{ [1] * 1000000 }}",
        "{% for a in range(999) %}xxxxxxxxxx{% endfor %}", "{{ '' | center(999999) }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "{{ range(100001) }}",
        "{% set n = namespace(x=[]) %}{% for i in range(99) %}{% set n.x = [n.x] %}{% endfor %}",
        "{% set n = namespace() %}{% set n.n = n %}{{ n }}", "{{ 'aaa'|replace('', 'x' * 4000) }}",
        "{{ {'a': {}}|tojson(indent=1000) }}"}) {
    auto compiled = ChatTemplate::compile(hostile, small);
    ASSERT_TRUE(compiled.ok()) << hostile;
    auto text = compiled->render(Json::object());
    ASSERT_FALSE(text.ok()) << hostile;
    EXPECT_EQ(text.error().code, Code::kExhausted) << hostile << ": " << text.error().message;
  }
  for (const std::string& deep :
       {"{{ " + std::string(5000, '(') + "1" + std::string(5000, ')') + " }}",
        "{{ " + std::string(5000, '-') + "1 }}"}) {
    auto compiled = ChatTemplate::compile(deep);
    ASSERT_FALSE(compiled.ok());
    EXPECT_EQ(compiled.error().code, Code::kExhausted) << compiled.error().message;
  }
}

TEST(ChatTemplate, SandboxHidesWhatChangesValues) {
  EXPECT_THAT(render("{{ [].append(1) }}"), HasSubstr("not allowed"));
  EXPECT_THAT(render("{{ ''.__class__.mro }}"), HasSubstr("not allowed"));
  EXPECT_THAT(render("{{ {}.update({}) }}"), HasSubstr("not allowed"));
}

TEST(ChatTemplate, Mentions) {
  auto compiled = ChatTemplate::compile("{{ tools }}{{ m['role'] }}");
  ASSERT_TRUE(compiled.ok());
  EXPECT_TRUE(compiled->mentions("tools"));
  EXPECT_TRUE(compiled->mentions("role"));
  EXPECT_FALSE(compiled->mentions("documents"));
}

}  // namespace
}  // namespace localai::text
