/* Counts what a process asks of its C library, and makes its disk slow.
 *
 * Loaded into the server by LD_PRELOAD in rounds whose CPU time is not taken. The counters and the
 * delay are in a file (LOAD_SHIM) that both sides map or read; its layout is in shim.rs.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { DELAY_MS, ALLOCATIONS, READS, WRITES, POLLS, SYNCS, WORDS };

static uint64_t nowhere[WORDS];
static volatile uint64_t *words = nowhere;

__attribute__((constructor)) static void start(void) {
    const char *path = getenv("LOAD_SHIM");
    int file = path ? open(path, O_RDWR) : -1;
    if (file < 0) return;
    void *map = mmap(0, sizeof nowhere, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (map != MAP_FAILED) words = map;
}

static void count(int word) { __atomic_fetch_add(&words[word], 1, __ATOMIC_RELAXED); }

/* The function of that name behind ours; looked up once. */
#define REAL(name) ({ static __typeof__(&name) f; f ? f : (f = (__typeof__(&name))dlsym(RTLD_NEXT, #name)); })

/* The allocator's own names stay reachable without dlsym, which allocates itself. */
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

void *malloc(size_t size) { count(ALLOCATIONS); return __libc_malloc(size); }
void *calloc(size_t n, size_t size) { count(ALLOCATIONS); return __libc_calloc(n, size); }
void *realloc(void *old, size_t size) { count(ALLOCATIONS); return __libc_realloc(old, size); }
int posix_memalign(void **out, size_t align, size_t size) {
    count(ALLOCATIONS);
    return (*out = __libc_memalign(align, size)) ? 0 : 12;
}

ssize_t read(int fd, void *to, size_t n) { count(READS); return REAL(read)(fd, to, n); }
ssize_t recv(int fd, void *to, size_t n, int flags) { count(READS); return REAL(recv)(fd, to, n, flags); }
ssize_t readv(int fd, const struct iovec *v, int n) { count(READS); return REAL(readv)(fd, v, n); }
ssize_t write(int fd, const void *from, size_t n) { count(WRITES); return REAL(write)(fd, from, n); }
ssize_t send(int fd, const void *from, size_t n, int flags) { count(WRITES); return REAL(send)(fd, from, n, flags); }
ssize_t writev(int fd, const struct iovec *v, int n) { count(WRITES); return REAL(writev)(fd, v, n); }
ssize_t sendmsg(int fd, const struct msghdr *m, int flags) { count(WRITES); return REAL(sendmsg)(fd, m, flags); }
int epoll_wait(int fd, struct epoll_event *e, int n, int ms) { count(POLLS); return REAL(epoll_wait)(fd, e, n, ms); }

static void slow(void) {
    count(SYNCS);
    uint64_t ms = words[DELAY_MS];
    struct timespec span = {ms / 1000, ms % 1000 * 1000000};
    if (ms) nanosleep(&span, 0);
}
int fsync(int fd) { slow(); return REAL(fsync)(fd); }
int fdatasync(int fd) { slow(); return REAL(fdatasync)(fd); }
