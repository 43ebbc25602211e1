// localai: the program. Parses the command line, runs one command, prints one error.
#include <CLI/CLI.hpp>
#include <cstdlib>
#include <exception>
#include <iostream>

#include "base/codes.h"
#include "base/log.h"
#include "cli/command.h"

int main(int argc, char** argv) {
  using namespace localai;
  try {
    CLI::App app("localai: many models, one memory budget, one OpenAI-compatible endpoint",
                 "localai");
    app.require_subcommand(1);
    app.set_version_flag("--version", LOCALAI_VERSION);
    std::string level = "warn";
    app.add_option("--log-level", level, "debug, info, warn, error or off")->capture_default_str();
    cli::Program program;
    cli::add_serve(app, program);
    cli::add_run(app, program);
    cli::add_chat(app, program);
    cli::add_list(app, program);
    cli::add_ps(app, program);
    cli::add_show(app, program);
    cli::add_domains(app, program);
    cli::add_doctor(app, program);
    cli::add_generate(app, program);
    cli::add_embed(app, program);
    cli::add_bench(app, program);
    cli::add_perplexity(app, program);
    cli::add_convert(app, program);
    cli::add_inspect(app, program);
    cli::add_tokenize(app, program);
    cli::add_template(app, program);
    cli::add_logits(app, program);
    cli::add_quantize(app, program);
    cli::add_verify(app, program);
    CLI11_PARSE(app, argc, argv);
    log::init(level);
    const Status status = program.run();
    if (status.ok()) return EXIT_SUCCESS;
    std::cout.flush();
    std::cerr << "localai: " << status.error().message << '\n';
    return code_info(status.error().code).exit_status;
  } catch (const std::exception& error) {  // std::bad_alloc, and what libraries throw
    std::cerr << "localai: " << error.what() << '\n';
    return EXIT_FAILURE;
  }
}
