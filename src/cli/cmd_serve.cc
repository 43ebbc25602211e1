// localai serve: the HTTP server over this machine's models, until SIGTERM or SIGINT.
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "base/log.h"
#include "cli/command.h"
#include "cli/config_watch.h"
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
  std::string prefix_dir;
  uint64_t prefix_disk_mb = 4096;
};

// The domains of the config file and the store, and who changes them.
Status add_domains(const ServeArguments& arguments, const std::string& config,
                   runtime::ServiceOptions& options) {
  LAI_TRY(auto store,
          open_store(arguments, options.settings, config, runtime::StoreAccess::kChange));
  runtime::DomainAdmin::Options admin;
  LAI_TRY(admin.file, read_config_file(config));
  admin.settings = options.settings;
  options.admin = std::make_shared<runtime::DomainAdmin>(std::move(store), std::move(admin));
  options.config = options.admin->load();
  return Ok{};
}

// Null where there is no file, or changes are not to be seen.
std::unique_ptr<ConfigWatch> watch_config(const std::string& config,
                                          const runtime::Settings& settings,
                                          std::function<void()> on_change) {
  if (config.empty() || !settings.watch_config) return nullptr;
  auto watch = ConfigWatch::start(config, std::move(on_change));
  if (watch.ok()) return std::move(*watch);
  log::warn("changes of the config file are seen on SIGHUP alone: {}", watch.error().message);
  return nullptr;
}

Status serve(const ServeArguments& arguments) {
  if (!arguments.allow_unauthenticated && !net::is_loopback_host(arguments.host))
    return invalid("--host " + arguments.host +
                   ": every machine that reaches this address could use the models; add "
                   "--allow-unauthenticated if that is meant");
  block_hangup();
  LAI_TRY(runtime::ServiceOptions options, bare_service_options(arguments));
  const runtime::Settings settings = options.settings;
  const std::string config = config_path(arguments, settings);
  LAI_TRY_STATUS(add_domains(arguments, config, options));
  const std::shared_ptr<runtime::DomainAdmin> admin = options.admin;
  options.resolver.engine.prefix_dir = arguments.prefix_dir;
  options.resolver.engine.prefix_disk_bytes = arguments.prefix_disk_mb << 20;
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
  const HangupListener hangup([&] { admin->reload(read_config_file(config), "SIGHUP"); });
  const auto watch = watch_config(config, settings, [&] {
    admin->reload(read_config_file(config), "the config file has changed");
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
  command->add_option("--prefix-dir", arguments->prefix_dir,
                      "folder that keeps the KV cache of prompts, so that a later start finds it");
  command->add_option("--prefix-disk-mb", arguments->prefix_disk_mb, "of all files there, in MiB")
      ->check(CLI::Range(1, 1 << 30))
      ->capture_default_str();
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
