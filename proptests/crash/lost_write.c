/* Makes one call that should put a file on disk fail, and loses what that call should have kept.
 *
 * Preloaded into a process. Of every regular file below LOST_UNDER that the process puts on disk, a copy
 * is kept in LOST_KEEP, named by the file's inode: what a disk would hold after a power cut. The call
 * numbered LOST_AT fails with EIO; the file is put back to its copy then, or emptied where it has none.
 * As on Linux, the next call succeeds and says nothing of what was lost before. What failed is written
 * down in LOST_KEEP/failed. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static long calls;

static int real_sync(const char *name, int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    return real(fd);
}

/* Copies what is in `from`, holes left out: the engine allocates much more than it writes. */
static void copy(int from, int to) {
    char buffer[65536];
    struct stat found;
    off_t at = 0, end;
    if (fstat(from, &found) != 0 || ftruncate(to, 0) != 0 || ftruncate(to, found.st_size) != 0) return;
    while ((at = lseek(from, at, SEEK_DATA)) >= 0) {
        end = lseek(from, at, SEEK_HOLE);
        while (at < end) {
            size_t want = (size_t)(end - at) < sizeof buffer ? (size_t)(end - at) : sizeof buffer;
            ssize_t got = pread(from, buffer, want, at);
            if (got <= 0 || pwrite(to, buffer, (size_t)got, at) != got) return;
            at += got;
        }
    }
}

static void copy_paths(const char *from, const char *to, int create) {
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CLOEXEC | (create ? O_CREAT : 0), 0600);
    if (in >= 0 && out >= 0) copy(in, out);
    if (in >= 0) close(in);
    if (out >= 0) close(out);
}

/* What becomes of a call: 0 where it is to be made, -1 where it failed. */
static int meddle(int fd, int before) {
    const char *under = getenv("LOST_UNDER"), *keep = getenv("LOST_KEEP"), *at = getenv("LOST_AT");
    char link[64], path[4096], kept[4200];
    struct stat found;
    if (!under || !keep || fstat(fd, &found) != 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    if (strncmp(path, under, strlen(under)) != 0) return 0;
    int regular = S_ISREG(found.st_mode);
    snprintf(kept, sizeof kept, "%s/%lu", keep, (unsigned long)found.st_ino);
    if (!before) {
        /* Whole or not at all: the process may be killed here. */
        char fresh[4300];
        snprintf(fresh, sizeof fresh, "%s.new", kept);
        if (regular) {
            copy_paths(link, fresh, 1);
            if (rename(fresh, kept) != 0) perror(kept);
        }
        return 0;
    }
    if (++calls != (at ? atol(at) : 0)) return 0;
    if (regular && access(kept, F_OK) == 0) copy_paths(kept, path, 0);
    else if (regular && truncate(path, 0) != 0) perror(path);
    snprintf(kept, sizeof kept, "%s/failed", keep);
    FILE *failed = fopen(kept, "w");
    if (failed) {
        fprintf(failed, "%s", path);
        fclose(failed);
    }
    return -1;
}

static int put(const char *name, int fd) {
    pthread_mutex_lock(&mutex);
    int result = meddle(fd, 1);
    if (result == 0) {
        result = real_sync(name, fd);
        int error = errno;
        if (result == 0) meddle(fd, 0);
        errno = error;
    } else {
        errno = EIO;
    }
    pthread_mutex_unlock(&mutex);
    return result;
}

int fsync(int fd) { return put("fsync", fd); }
int fdatasync(int fd) { return put("fdatasync", fd); }
int sync_file_range(int fd, off_t offset, off_t bytes, unsigned flags) {
    (void)offset, (void)bytes, (void)flags;
    return put("fdatasync", fd);
}
