// Storage that fails: a library for LD_PRELOAD through which every call on files under one directory goes.
//
// It does nothing before `chaos_arm`. From then on it counts these calls, those of C++ libraries too, and at chosen ones
// fails with an error, waits, or sends this process a signal. What is chosen depends on the seed and on the call's number.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPEN_TO_READ = 1, OPEN_TO_WRITE = 2, READ = 4, WRITE = 8, SYNC = 16, RENAME = 32, MKDIR = 64, LINK = 128, UNLINK = 256 };

struct plan {             // tests/chaos/storage.py has the same
  char root[PATH_MAX];    // files under it are met
  char part[256];         // only paths that contain this fail; all are counted
  int32_t operations;     // those that fail, or ...
  int32_t error;          // with this errno; 0: with none
  int32_t microseconds;   // to wait
  int32_t signal;         // to send; 0: none
  int32_t whole_group;    // whether to the process group
  int32_t again;          // so many calls later once more; 0: once
  int64_t first, last;    // numbers of the calls that may be chosen, from 1 on
  int64_t per_million;    // the share of these that is
  uint64_t seed;
};

struct counts {
  _Atomic int64_t calls, hits;
};

static struct plan plan;
static struct counts *counts;

void chaos_arm(const struct plan *wanted, const char *counts_file) {
  int file = open(counts_file, O_RDWR);
  plan = *wanted;
  counts = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
}

static uint64_t mixed(uint64_t x) {  // splitmix64
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

static void send_signal(void) { kill(plan.whole_group ? 0 : getpid(), plan.signal); }

// Whether a call has to fail; errno is set then.
static int meets(int operation, const char *path) {
  size_t length = strlen(plan.root);
  if (strncmp(path, plan.root, length) || (path[length] && path[length] != '/')) return 0;
  int64_t call = ++counts->calls;
  if (plan.signal) {
    if (call != plan.first && !(plan.again && call == plan.first + plan.again)) return 0;
    ++counts->hits;
    send_signal();
    return 0;
  }
  if (!(operation & plan.operations) || call < plan.first || call > plan.last) return 0;
  if (!strstr(path + length, plan.part)) return 0;
  if ((int64_t)(mixed(plan.seed ^ mixed(call)) % 1000000) >= plan.per_million) return 0;
  ++counts->hits;
  if (plan.microseconds) usleep(plan.microseconds);
  errno = plan.error;
  return plan.error != 0;
}

static int meets_at(int operation, int directory, const char *path) {
  if (!counts) return 0;
  if (path[0] == '/' || directory == AT_FDCWD) return meets(operation, path);
  char link[64], full[2 * PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
  ssize_t length = readlink(link, full, PATH_MAX - 1);
  if (length < 0) return 0;
  snprintf(full + length, sizeof full - length, "/%s", path);
  return meets(operation, full);
}

static int meets_file(int operation, int file) {
  if (!counts) return 0;
  char link[64], full[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, full, sizeof full - 1);
  if (length < 0 || full[0] != '/') return 0;
  full[length] = 0;
  return meets(operation, full);
}

#define REAL(name) \
  static __typeof__(name) *real; \
  if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

static int opening(int flags) { return (flags & (O_WRONLY | O_RDWR | O_CREAT)) ? OPEN_TO_WRITE : OPEN_TO_READ; }

#define OPEN(name) \
  int name(const char *path, int flags, ...) { \
    REAL(name); \
    va_list rest; \
    va_start(rest, flags); \
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(rest, mode_t) : 0; \
    va_end(rest); \
    return meets_at(opening(flags), AT_FDCWD, path) ? -1 : real(path, flags, mode); \
  }
#define OPENAT(name) \
  int name(int directory, const char *path, int flags, ...) { \
    REAL(name); \
    va_list rest; \
    va_start(rest, flags); \
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(rest, mode_t) : 0; \
    va_end(rest); \
    return meets_at(opening(flags), directory, path) ? -1 : real(directory, path, flags, mode); \
  }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

#define ON_FILE(type, name, operation, declared, given) \
  type name declared { \
    REAL(name); \
    return meets_file(operation, file) ? -1 : real given; \
  }
ON_FILE(ssize_t, read, READ, (int file, void *to, size_t size), (file, to, size))
ON_FILE(ssize_t, pread, READ, (int file, void *to, size_t size, off_t from), (file, to, size, from))
ON_FILE(ssize_t, pread64, READ, (int file, void *to, size_t size, off64_t from), (file, to, size, from))
ON_FILE(ssize_t, write, WRITE, (int file, const void *from, size_t size), (file, from, size))
ON_FILE(ssize_t, pwrite, WRITE, (int file, const void *from, size_t size, off_t to), (file, from, size, to))
ON_FILE(ssize_t, pwrite64, WRITE, (int file, const void *from, size_t size, off64_t to), (file, from, size, to))
ON_FILE(ssize_t, writev, WRITE, (int file, const struct iovec *from, int parts), (file, from, parts))
ON_FILE(int, fsync, SYNC, (int file), (file))
ON_FILE(int, fdatasync, SYNC, (int file), (file))

#define ON_PATH(name, operation, declared, directory, path, given) \
  int name declared { \
    REAL(name); \
    return meets_at(operation, directory, path) ? -1 : real given; \
  }
ON_PATH(mkdir, MKDIR, (const char *path, mode_t mode), AT_FDCWD, path, (path, mode))
ON_PATH(mkdirat, MKDIR, (int at, const char *path, mode_t mode), at, path, (at, path, mode))
ON_PATH(unlink, UNLINK, (const char *path), AT_FDCWD, path, (path))
ON_PATH(rmdir, UNLINK, (const char *path), AT_FDCWD, path, (path))
ON_PATH(unlinkat, UNLINK, (int at, const char *path, int flags), at, path, (at, path, flags))
ON_PATH(rename, RENAME, (const char *from, const char *to), AT_FDCWD, to, (from, to))
ON_PATH(renameat, RENAME, (int at, const char *from, int there, const char *to), there, to, (at, from, there, to))
ON_PATH(renameat2, RENAME, (int at, const char *from, int there, const char *to, unsigned flags), there, to,
        (at, from, there, to, flags))
ON_PATH(link, LINK, (const char *from, const char *to), AT_FDCWD, to, (from, to))
ON_PATH(linkat, LINK, (int at, const char *from, int there, const char *to, int flags), there, to,
        (at, from, there, to, flags))
