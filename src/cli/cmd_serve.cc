// localai serve: the HTTP server over this machine's models, until SIGTERM or SIGINT.
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "base/log.h"
#include "cli/command.h"
#include "cli/hangup.h"
#include "cli/service_options.h"
#include "net/server.h"
#include "runtime/native_backend.h"
#include "server/api.h"

namespace localai::cli {
namespace {

struct ServeArguments : ServiceArguments {
  std::string host = "127.0.0.1";
  uint16_t port = 8080;
  std::vector<std::string> allowed_hosts;
  bool allow_unauthenticated = false, repack = true;
};

Status serve(const ServeArguments& arguments) {
  if (!arguments.allow_unauthenticated && !net::is_loopback_host(arguments.host))
    return invalid("--host " + arguments.host +
                   ": every machine that reaches this address could use the models; add "
                   "--allow-unauthenticated if that is meant");
  block_hangup();
  LAI_TRY(runtime::ServiceOptions options, service_options(arguments));
  const runtime::Settings settings = options.settings;
  runtime::LocalService service(std::move(options), runtime::make_native_opener(arguments.repack));

  net::Server* running = nullptr;  // set before the first request can come
  const server::Api api(service, {LOCALAI_VERSION, [&running] { return running->draining(); }});
  net::ServerOptions server_options;
  server_options.host = arguments.host;
  server_options.port = arguments.port;
  server_options.host_names = arguments.allowed_hosts;
  server_options.handle_signals = true;
  server_options.render_refusal = [](const net::Refusal& refusal) {
    return server::error_response(server::from_refusal(refusal));
  };
  LAI_TRY(const std::unique_ptr<net::Server> server,
          net::Server::listen(std::move(server_options),
                              [&api](net::Request request, std::shared_ptr<net::Sink> sink) {
                                api.handle(std::move(request), std::move(sink));
                              }));
  running = server.get();
  const HangupListener hangup([&] {
    auto config = read_config(arguments, settings);
    if (!config.ok())
      return log::error("SIGHUP: the config stays as it is: {}", config.error().message);
    log::warn("SIGHUP: the config is read again: {} domains", config->domains.size());
    service.reload(std::move(*config));
  });
  std::cout << "localai is ready at " << server->url() << std::endl;
  server->run();
  return Ok{};
}

}  // namespace

void add_serve(CLI::App& app, Program& program) {
  auto arguments = std::make_shared<ServeArguments>();
  CLI::App* command = app.add_subcommand("serve", "Answer OpenAI requests over HTTP");
  add_service_options(*command, *arguments);
  command->add_option("--host", arguments->host, "IPv4 or IPv6 address to listen on")
      ->capture_default_str();
  command->add_option("--port", arguments->port, "port to listen on; 0 picks a free one")
      ->capture_default_str();
  command->add_option("--allow-host", arguments->allowed_hosts,
                      "further name that clients may call this server by; may be repeated");
  command->add_flag("--allow-unauthenticated", arguments->allow_unauthenticated,
                    "listen on an address that other machines reach");
  command->add_flag(
      "!--no-repack", arguments->repack,
      "use quantized weights where their files are mapped: quicker to load, slower to "
      "run, and memory that the system can take back");
  command->callback([arguments, &program] {
    program.run = [arguments]() -> Status { return serve(*arguments); };
  });
}

}  // namespace localai::cli
