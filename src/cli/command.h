#pragma once
// Commands of the `localai` program: one file a command (cmd_NAME.cc), each with one add_NAME()
// that declares its flags and what it does. main.cc holds the list.
#include <functional>
#include <string>

#include "base/result.h"

namespace CLI {
class App;
}

namespace localai::cli {

// What a parsed command line will do: set by the chosen command's callback, run by main(), which
// prints an error to stderr and turns it into an exit status.
struct Program {
  std::function<Status()> run;
};

void add_bench(CLI::App& app, Program& program);
void add_chat(CLI::App& app, Program& program);
void add_convert(CLI::App& app, Program& program);
void add_doctor(CLI::App& app, Program& program);
void add_domains(CLI::App& app, Program& program);
void add_embed(CLI::App& app, Program& program);
void add_domain_routing(CLI::App& domains,
                        Program& program);  // explain, eval, fit, below `domains`
void add_generate(CLI::App& app, Program& program);
void add_inspect(CLI::App& app, Program& program);
void add_list(CLI::App& app, Program& program);
void add_logits(CLI::App& app, Program& program);
void add_perplexity(CLI::App& app, Program& program);
void add_quantize(CLI::App& app, Program& program);
void add_ps(CLI::App& app, Program& program);
void add_run(CLI::App& app, Program& program);
void add_serve(CLI::App& app, Program& program);
void add_show(CLI::App& app, Program& program);
void add_template(CLI::App& app, Program& program);
void add_tokenize(CLI::App& app, Program& program);
void add_verify(CLI::App& app, Program& program);

}  // namespace localai::cli
