/* Records what a process does to the files of one folder, in order, with the data: for tests of what a power loss
 * would leave of them.
 *
 * Loaded by LD_PRELOAD. POWER_FOLDER: the folder, as an absolute path without links. POWER_TRACE: the file to append
 * to. A record is: kind (1 octet), inode, offset, and the lengths of a path and of the data (8 octets each, of this
 * machine's order), the path, the data. Its kinds are in trace.rs. What is done under a mapping (SQLite's -shm)
 * is not seen; a power loss takes that anyway.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static char folder[4096];
static size_t folder_length;
static int trace = -1;
static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) ({ static __typeof__(&name) f; f ? f : (f = (__typeof__(&name))dlsym(RTLD_NEXT, #name)); })

__attribute__((constructor)) static void start(void) {
    const char *where = getenv("POWER_FOLDER"), *to = getenv("POWER_TRACE");
    if (!where || !to || strlen(where) >= sizeof folder) return;
    strcpy(folder, where);
    folder_length = strlen(folder);
    trace = REAL(open)(to, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

static void lock(void) { pthread_mutex_lock(&one_at_a_time); }
static void unlock(void) { int kept = errno; pthread_mutex_unlock(&one_at_a_time); errno = kept; }

static void put(char kind, uint64_t inode, uint64_t offset, const char *path, const void *data, uint64_t length) {
    uint64_t numbers[4] = {inode, offset, path ? strlen(path) : 0, length};
    struct iovec parts[4] = {
        {&kind, 1}, {numbers, sizeof numbers}, {(void *)path, numbers[2]}, {(void *)data, length}};
    if (REAL(writev)(trace, parts, 4) < 0) abort();
}

static int ours(const char *path) {
    return trace >= 0 && path && !strncmp(path, folder, folder_length) &&
           (path[folder_length] == '/' || !path[folder_length]);
}

/* A path made absolute; its links are not followed. */
static const char *absolute(int dir, const char *path, char *room, size_t size) {
    if (!path || path[0] == '/') return path;
    char base[4096] = "", link[64];
    if (dir == AT_FDCWD) {
        if (!getcwd(base, sizeof base)) return path;
    } else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
        ssize_t n = readlink(link, base, sizeof base - 1);
        if (n < 0) return path;
        base[n] = 0;
    }
    while (path[0] == '.' && path[1] == '/') path += 2;
    if (!strcmp(path, ".")) snprintf(room, size, "%s", base);
    else snprintf(room, size, "%s/%s", base, path);
    return room;
}

/* Is it a file or a folder of ours? Its name is given back, as long as it has one. */
static int known(int fd, char *path, size_t size, struct stat *what) {
    char link[64];
    if (trace < 0 || fd == trace) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, size - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return ours(path) && !fstat(fd, what) && (S_ISREG(what->st_mode) || S_ISDIR(what->st_mode));
}

static int opened(int fd, int flags, const char *path, int was_there) {
    struct stat what;
    if (fd >= 0 && !fstat(fd, &what) && S_ISREG(what.st_mode)) {
        if (!was_there) put('C', what.st_ino, 0, path, 0, 0);
        else if (flags & O_TRUNC) put('T', what.st_ino, 0, path, 0, 0);
    }
    return fd;
}

#define OPENS(call, dir, path) \
    mode_t mode = 0; \
    if (flags & (O_CREAT | __O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); } \
    char room[8192]; \
    const char *whole = absolute(dir, path, room, sizeof room); \
    if (!ours(whole)) return call; \
    lock(); \
    struct stat before; \
    int was_there = !lstat(whole, &before); \
    int fd = opened(call, flags, whole, was_there); \
    unlock(); \
    return fd;

int open(const char *path, int flags, ...) { OPENS(REAL(open)(path, flags, mode), AT_FDCWD, path) }
int open64(const char *path, int flags, ...) { OPENS(REAL(open64)(path, flags, mode), AT_FDCWD, path) }
int openat(int dir, const char *path, int flags, ...) { OPENS(REAL(openat)(dir, path, flags, mode), dir, path) }
int openat64(int dir, const char *path, int flags, ...) { OPENS(REAL(openat64)(dir, path, flags, mode), dir, path) }

#define DOES(call, condition, kind, offset, data, length) \
    char path[4096]; struct stat what; \
    if (!known(fd, path, sizeof path, &what)) return call; \
    lock(); \
    __auto_type done = call; \
    if (condition) put(kind, what.st_ino, offset, path, data, length); \
    unlock(); \
    return done;

ssize_t write(int fd, const void *from, size_t n) {
    char path[4096]; struct stat what;
    if (!known(fd, path, sizeof path, &what)) return REAL(write)(fd, from, n);
    lock();
    off_t at = (fcntl(fd, F_GETFL) & O_APPEND) ? what.st_size : lseek(fd, 0, SEEK_CUR);
    ssize_t done = REAL(write)(fd, from, n);
    if (done > 0) put('W', what.st_ino, at, path, from, done);
    unlock();
    return done;
}
ssize_t pwrite(int fd, const void *from, size_t n, off_t at) { DOES(REAL(pwrite)(fd, from, n, at), done > 0, 'W', at, from, done) }
ssize_t pwrite64(int fd, const void *from, size_t n, off64_t at) { DOES(REAL(pwrite64)(fd, from, n, at), done > 0, 'W', at, from, done) }
int ftruncate(int fd, off_t size) { DOES(REAL(ftruncate)(fd, size), !done, 'T', size, 0, 0) }
int ftruncate64(int fd, off64_t size) { DOES(REAL(ftruncate64)(fd, size), !done, 'T', size, 0, 0) }
int fsync(int fd) { DOES(REAL(fsync)(fd), !done, S_ISDIR(what.st_mode) ? 'D' : 'S', 0, 0, 0) }
int fdatasync(int fd) { DOES(REAL(fdatasync)(fd), !done, S_ISDIR(what.st_mode) ? 'D' : 'S', 0, 0, 0) }

/* What a server that keeps its files in order has no need of: a trace with one of these can't be judged. */
ssize_t writev(int fd, const struct iovec *v, int n) { DOES(REAL(writev)(fd, v, n), 1, '?', 0, "writev", 6) }
int fallocate(int fd, int mode, off_t at, off_t n) { DOES(REAL(fallocate)(fd, mode, at, n), 1, '?', 0, "fallocate", 9) }
int posix_fallocate(int fd, off_t at, off_t n) { DOES(REAL(posix_fallocate)(fd, at, n), 1, '?', 0, "posix_fallocate", 15) }

#define NAMES(call, kind, one, other) \
    char room[8192]; \
    const char *whole = absolute(AT_FDCWD, one, room, sizeof room); \
    if (!ours(whole)) return call; \
    lock(); \
    char target[8192]; \
    const char *other_whole = absolute(AT_FDCWD, other, target, sizeof target); \
    int done = call; \
    if (!done) put(kind, 0, 0, whole, other_whole, other_whole ? strlen(other_whole) : 0); \
    unlock(); \
    return done;

int unlink(const char *path) { NAMES(REAL(unlink)(path), 'U', path, 0) }
int rmdir(const char *path) { NAMES(REAL(rmdir)(path), 'U', path, 0) }
int mkdir(const char *path, mode_t mode) { NAMES(REAL(mkdir)(path, mode), 'M', path, 0) }
int rename(const char *from, const char *to) { NAMES(REAL(rename)(from, to), 'R', from, to) }
int link(const char *from, const char *to) { NAMES(REAL(link)(from, to), '?', from, to) }
