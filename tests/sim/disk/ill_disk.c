/* A disk that can be made ill while a program uses it: loaded before the C library (LD_PRELOAD), so that the program is the
 * real one. Only files below the folder in ILL_DISK_BELOW are concerned. What is wrong stands in the file ILL_DISK_HOW and is
 * read at every call: "hang" (a sync does not return until that changes), "sync" (a sync fails, EIO), "write" (a write fails, EIO),
 * anything else: healthy. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { HEALTHY, HANG, SYNC, WRITE };

static int how(void) {
  static ssize_t (*take)(int, void *, size_t);
  const char *path = getenv("ILL_DISK_HOW");
  char text[8] = {0};
  int file, found = HEALTHY;
  if (!take) take = dlsym(RTLD_NEXT, "read");
  if (!path || (file = open(path, O_RDONLY | O_CLOEXEC)) < 0) return HEALTHY;
  if (take(file, text, sizeof text - 1) > 0) {
    if (!strncmp(text, "hang", 4)) found = HANG;
    if (!strncmp(text, "sync", 4)) found = SYNC;
    if (!strncmp(text, "write", 5)) found = WRITE;
  }
  close(file);
  return found;
}

static int below(int file) {
  const char *folder = getenv("ILL_DISK_BELOW");
  char link[64], path[4096];
  ssize_t length;
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  length = readlink(link, path, sizeof path - 1);
  if (!folder || length < 0) return 0;
  path[length] = 0;
  return !strncmp(path, folder, strlen(folder));
}

static int syncs(int file) {
  struct timespec pause = {0, 20000000};
  if (!below(file)) return 1;
  while (how() == HANG) nanosleep(&pause, NULL);
  if (how() != SYNC && how() != WRITE) return 1;
  errno = EIO;
  return 0;
}

static int writes(int file) {
  if (how() != WRITE || !below(file)) return 1;
  errno = EIO;
  return 0;
}

int fsync(int file) {
  static int (*real)(int);
  if (!real) real = dlsym(RTLD_NEXT, "fsync");
  return syncs(file) ? real(file) : -1;
}

int fdatasync(int file) {
  static int (*real)(int);
  if (!real) real = dlsym(RTLD_NEXT, "fdatasync");
  return syncs(file) ? real(file) : -1;
}

int sync_file_range(int file, off64_t from, off64_t bytes, unsigned int flags) {
  static int (*real)(int, off64_t, off64_t, unsigned int);
  if (!real) real = dlsym(RTLD_NEXT, "sync_file_range");
  return syncs(file) ? real(file, from, bytes, flags) : -1;
}

ssize_t write(int file, const void *bytes, size_t count) {
  static ssize_t (*real)(int, const void *, size_t);
  if (!real) real = dlsym(RTLD_NEXT, "write");
  return writes(file) ? real(file, bytes, count) : -1;
}

ssize_t writev(int file, const struct iovec *parts, int count) {
  static ssize_t (*real)(int, const struct iovec *, int);
  if (!real) real = dlsym(RTLD_NEXT, "writev");
  return writes(file) ? real(file, parts, count) : -1;
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t at) {
  static ssize_t (*real)(int, const void *, size_t, off64_t);
  if (!real) real = dlsym(RTLD_NEXT, "pwrite64");
  return writes(file) ? real(file, bytes, count, at) : -1;
}
