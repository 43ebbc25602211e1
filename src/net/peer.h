#pragma once
// Has the other end of a connection gone, or did it only stop sending?
namespace localai::net {

// For a TCP socket whose peer has sent its FIN. True when the connection is broken, or when the
// peer's socket was closed altogether. A FIN alone cannot tell close() from shutdown(SHUT_WR): for
// peers on this machine the kernel's socket table does (a closed socket has no inode any more;
// source: linux/inet_diag.h, net/ipv4/inet_diag.c). A peer on another machine counts as there until
// data or keep-alive probes are answered with a reset. Does not block.
bool peer_is_gone(int socket);

}  // namespace localai::net
