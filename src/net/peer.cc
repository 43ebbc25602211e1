#include "net/peer.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

namespace localai::net {
namespace {

bool is_broken(int socket) {
  pollfd entry{socket, 0, 0};
  return ::poll(&entry, 1, 0) > 0 && (entry.revents & (POLLERR | POLLHUP)) != 0;
}

// Writes address and port of `from` in the form of a socket-table key; false for other families.
bool fill(const sockaddr_storage& from, __be32 (&address)[4], __be16& port) {
  if (from.ss_family == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, &from, sizeof v4);
    address[0] = v4.sin_addr.s_addr;
    port = v4.sin_port;
    return true;
  }
  if (from.ss_family != AF_INET6) return false;
  sockaddr_in6 v6;
  std::memcpy(&v6, &from, sizeof v6);
  std::memcpy(address, &v6.sin6_addr, sizeof v6.sin6_addr);
  port = v6.sin6_port;
  return true;
}

struct Query {
  nlmsghdr header;
  inet_diag_req_v2 request;
};

// The key of the peer's own socket: our connection with its two ends exchanged. False when the peer
// is not on this machine.
bool peer_query(int socket, Query& query) {
  sockaddr_storage own{}, peer{};
  socklen_t own_bytes = sizeof own, peer_bytes = sizeof peer;
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&own), &own_bytes) != 0 ||
      ::getpeername(socket, reinterpret_cast<sockaddr*>(&peer), &peer_bytes) != 0)
    return false;
  inet_diag_sockid& key = query.request.id;
  if (!fill(peer, key.idiag_src, key.idiag_sport) || !fill(own, key.idiag_dst, key.idiag_dport))
    return false;
  if (std::memcmp(key.idiag_src, key.idiag_dst, sizeof key.idiag_src) != 0) return false;
  key.idiag_cookie[0] = key.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
  query.request.sdiag_family = static_cast<uint8_t>(own.ss_family);
  query.request.sdiag_protocol = IPPROTO_TCP;
  query.request.idiag_states = ~0u;
  query.header.nlmsg_len = sizeof query;
  query.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  query.header.nlmsg_flags = NLM_F_REQUEST;
  return true;
}

// True when the kernel says that the socket of `query` is not there or belongs to nobody. Anything
// else, also a kernel that does not answer, counts as there.
bool is_orphan(const Query& query) {
  const int channel = ::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
  if (channel < 0) return false;
  alignas(nlmsghdr) char answer[4096];
  ssize_t bytes = -1;
  if (::send(channel, &query, sizeof query, 0) == static_cast<ssize_t>(sizeof query))
    bytes = ::recv(channel, answer, sizeof answer, MSG_DONTWAIT);
  ::close(channel);
  nlmsghdr header;
  if (bytes < static_cast<ssize_t>(sizeof header)) return false;
  std::memcpy(&header, answer, sizeof header);
  const size_t payload = static_cast<size_t>(bytes) - sizeof header;
  if (header.nlmsg_type == NLMSG_ERROR && payload >= sizeof(nlmsgerr)) {
    nlmsgerr error;
    std::memcpy(&error, answer + sizeof header, sizeof error);
    return error.error == -ENOENT;
  }
  if (header.nlmsg_type != SOCK_DIAG_BY_FAMILY || payload < sizeof(inet_diag_msg)) return false;
  inet_diag_msg entry;
  std::memcpy(&entry, answer + sizeof header, sizeof entry);
  return entry.idiag_inode == 0;
}

}  // namespace

bool peer_is_gone(int socket) {
  if (is_broken(socket)) return true;
  Query query{};
  return peer_query(socket, query) && is_orphan(query);
}

}  // namespace localai::net
