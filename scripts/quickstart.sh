#!/usr/bin/env bash
# From a bare Debian 12 machine to an answer: installs, builds, fetches three small real models, starts
# the server, asks one question over HTTP and lets a base model complete a sentence. A second run
# takes seconds. The server goes on in the background unless --stop is given. PORT: default 8080.
set -euo pipefail
cd "$(dirname "$0")/.."
port=${PORT:-8080}
stop=false
[ "${1:-}" = --stop ] && stop=true
state=build/quickstart

step() { printf '\n== %s\n' "$*"; }

stop_server() {  # of an earlier run, or of this one
  [ -f $state/pid ] || return 0
  local pid
  pid=$(cat $state/pid)
  if [ "$(readlink "/proc/$pid/exe" 2>/dev/null)" = "$PWD/build/release/localai" ]; then
    kill "$pid"
    while [ -d "/proc/$pid" ]; do sleep 0.1; done
  fi
  rm -f $state/pid
}

start_server() {  # leaves the ready line in $state/ready.txt, the URL in $url
  mkdir -p $state
  : >$state/ready.txt
  setsid build/release/localai serve --config config/domains.demo.json --port "$port" \
    >$state/ready.txt 2>$state/server.log </dev/null &
  echo $! >$state/pid
  for _ in $(seq 300); do
    url=$(grep -o 'http://[^ ]*' $state/ready.txt | head -1) && [ -n "$url" ] && return 0
    kill -0 "$(cat $state/pid)" 2>/dev/null || break
    sleep 0.1
  done
  cat $state/server.log >&2
  echo "the server did not start; is port $port taken? (PORT=8090 scripts/quickstart.sh)" >&2
  exit 1
}

print_stream() {  # the text of an OpenAI chat stream as it comes
  python3 -uc '
import json, sys
for line in sys.stdin:
    if not line.startswith("data: ") or line.strip() == "data: [DONE]":
        continue
    chunk = json.loads(line[6:])
    if "error" in chunk:
        sys.exit(chunk["error"]["message"])
    for choice in chunk["choices"]:
        print(choice["delta"].get("content") or "", end="", flush=True)
print()'
}

step "1/5 packages"
scripts/install-deps.sh
step "2/5 build"
scripts/build.sh release
step "3/5 models"
scripts/get-models.sh smollm2 gemma3 minilm
step "4/5 server"
stop_server
start_server
cat $state/ready.txt

step "5/5 answers"
question="Tell me about the Moon in two sentences."
echo "SmolLM2-135M-Instruct over HTTP: $question"
curl -sS --fail-with-body -N "$url/v1/chat/completions" -H 'content-type: application/json' \
  -d '{"model":"general","stream":true,"temperature":0,"max_tokens":64,
       "messages":[{"role":"user","content":"'"$question"'"}]}' | print_stream
sentence="The three primary colors are red,"
printf '\nGemma 3 270M, a base model, completes a sentence on the terminal:\n%s' "$sentence"
build/release/localai generate --model models/gemma-3-270m-q4_k_m.gguf --prompt "$sentence" \
  --max-tokens 24 --temperature 0
echo

if $stop; then
  stop_server
  exit 0
fi
cat <<TXT

The server runs at $url (process $(cat $state/pid), log in $state/server.log). Try:
  curl $url/v1/models
  curl $url/v1/chat/completions -H 'content-type: application/json' \\
    -d '{"model":"general","messages":[{"role":"user","content":"Tell me a joke."}]}'
  build/release/localai chat models/SmolLM2-135M-Instruct.Q4_1.gguf
  kill $(cat $state/pid)        # stops it
TXT
