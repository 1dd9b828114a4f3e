/* Let the calls that change a disk fail: preloaded into a command, it answers with an error number in place of them.
 *
 * In: the file that DISK_FAULTS_PLAN names, mapped by a command and by every process that it starts. Out: failing calls,
 * and their count in that file. Only what lies under the folder of the plan is touched. What must hold afterwards is left
 * to the tests.
 */
#define _GNU_SOURCE
#define _LARGEFILE64_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* Which calls fail; a bit each in `kinds`. */
enum { GROW = 1, FLUSH = 2, NAME = 4, OPEN = 8, READ = 16, LOOK = 32 };
#define KINDS 6

struct plan {
    char folder[PATH_MAX]; /* with a slash at its end */
    int error;             /* the number to answer with; 0 never answers, as a mount whose server is gone */
    unsigned kinds;
    long first; /* the first call to fail, counted from 0 over all processes */
    long last;  /* the last one; a full disk stays full, a failing one may recover */
    long matched; /* how many calls of `kinds` there were */
    long failed;
    long seen[KINDS]; /* how many calls of each kind there were */
};

static struct plan *plan;

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* Take a plan; a forked command calls it, and each program that it starts runs it on loading. */
void disk_faults_arm(const char *path) {
    int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0)
        return;
    void *mapped = mmap(NULL, sizeof(struct plan), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    plan = mapped == MAP_FAILED ? NULL : mapped;
}

__attribute__((constructor)) static void arm_from_environment(void) {
    const char *path = getenv("DISK_FAULTS_PLAN");
    if (path)
        disk_faults_arm(path);
}

static int lies_in_folder(int directory, const char *path) {
    char base[PATH_MAX], whole[2 * PATH_MAX + 2];
    if (!path)
        return 0;
    if (path[0] == '/')
        return strncmp(path, plan->folder, strlen(plan->folder)) == 0;
    if (directory == AT_FDCWD) {
        if (!getcwd(base, sizeof base))
            return 0;
    } else {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
        ssize_t length = NEXT(readlink)(link, base, sizeof base - 1);
        if (length < 0)
            return 0;
        base[length] = 0;
    }
    snprintf(whole, sizeof whole, "%s/%s", base, path);
    return strncmp(whole, plan->folder, strlen(plan->folder)) == 0;
}

static int is_in_folder(int file) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = NEXT(readlink)(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return strncmp(path, plan->folder, strlen(plan->folder)) == 0;
}

/* Count a call, and say whether it fails. */
static int fails(unsigned kind) {
    __atomic_fetch_add(&plan->seen[__builtin_ctz(kind)], 1, __ATOMIC_RELAXED);
    if (!(plan->kinds & kind))
        return 0;
    long number = __atomic_fetch_add(&plan->matched, 1, __ATOMIC_RELAXED);
    if (number < plan->first || number > plan->last)
        return 0;
    __atomic_fetch_add(&plan->failed, 1, __ATOMIC_RELAXED);
    while (plan->error == 0)
        pause();
    errno = plan->error;
    return 1;
}

#define ON_FILE(kind, file) (plan && is_in_folder(file) && fails(kind))
#define ON_PATH(kind, directory, path) (plan && lies_in_folder(directory, path) && fails(kind))
/* A call with the same arguments as the one that it stands for. */
#define WRAP(type, name, condition, parameters, arguments)                                                             \
    type name parameters {                                                                                             \
        static __typeof__(&name) next;                                                                                 \
        if (condition)                                                                                                 \
            return -1;                                                                                                 \
        if (!next)                                                                                                     \
            next = NEXT(name);                                                                                         \
        return next arguments;                                                                                         \
    }

WRAP(ssize_t, write, ON_FILE(GROW, file), (int file, const void *from, size_t size), (file, from, size))
WRAP(ssize_t, pwrite, ON_FILE(GROW, file), (int file, const void *from, size_t size, off_t at), (file, from, size, at))
WRAP(ssize_t, pwrite64, ON_FILE(GROW, file), (int file, const void *from, size_t size, off64_t at),
     (file, from, size, at))
WRAP(ssize_t, writev, ON_FILE(GROW, file), (int file, const struct iovec *parts, int count), (file, parts, count))
WRAP(ssize_t, pwritev, ON_FILE(GROW, file), (int file, const struct iovec *parts, int count, off_t at),
     (file, parts, count, at))
WRAP(ssize_t, sendfile, ON_FILE(GROW, file), (int file, int source, off_t *at, size_t size), (file, source, at, size))
WRAP(ssize_t, sendfile64, ON_FILE(GROW, file), (int file, int source, off64_t *at, size_t size),
     (file, source, at, size))
WRAP(ssize_t, copy_file_range, ON_FILE(GROW, file),
     (int source, off64_t *from, int file, off64_t *at, size_t size, unsigned flags),
     (source, from, file, at, size, flags))
WRAP(int, fallocate, ON_FILE(GROW, file), (int file, int mode, off_t at, off_t size), (file, mode, at, size))
WRAP(int, fallocate64, ON_FILE(GROW, file), (int file, int mode, off64_t at, off64_t size), (file, mode, at, size))

WRAP(ssize_t, read, ON_FILE(READ, file), (int file, void *into, size_t size), (file, into, size))
WRAP(ssize_t, pread, ON_FILE(READ, file), (int file, void *into, size_t size, off_t at), (file, into, size, at))
WRAP(ssize_t, pread64, ON_FILE(READ, file), (int file, void *into, size_t size, off64_t at), (file, into, size, at))

WRAP(int, stat, ON_PATH(LOOK, AT_FDCWD, path), (const char *path, struct stat *found), (path, found))
WRAP(int, stat64, ON_PATH(LOOK, AT_FDCWD, path), (const char *path, struct stat64 *found), (path, found))
WRAP(int, lstat, ON_PATH(LOOK, AT_FDCWD, path), (const char *path, struct stat *found), (path, found))
WRAP(int, lstat64, ON_PATH(LOOK, AT_FDCWD, path), (const char *path, struct stat64 *found), (path, found))
WRAP(int, fstatat, ON_PATH(LOOK, directory, path),
     (int directory, const char *path, struct stat *found, int flags), (directory, path, found, flags))
WRAP(int, fstatat64, ON_PATH(LOOK, directory, path),
     (int directory, const char *path, struct stat64 *found, int flags), (directory, path, found, flags))
WRAP(ssize_t, readlink, ON_PATH(LOOK, AT_FDCWD, path), (const char *path, char *into, size_t size), (path, into, size))

DIR *opendir(const char *path) {
    return ON_PATH(LOOK, AT_FDCWD, path) ? NULL : NEXT(opendir)(path);
}

/* These two answer with the error number itself. */
int posix_fallocate(int file, off_t at, off_t size) {
    return ON_FILE(GROW, file) ? plan->error : NEXT(posix_fallocate)(file, at, size);
}

int posix_fallocate64(int file, off64_t at, off64_t size) {
    return ON_FILE(GROW, file) ? plan->error : NEXT(posix_fallocate64)(file, at, size);
}

/* A full disk lets files shrink. */
static int grows(int file, off64_t size) {
    struct stat found;
    return fstat(file, &found) == 0 && size > found.st_size;
}

WRAP(int, ftruncate, plan && grows(file, size) && ON_FILE(GROW, file), (int file, off_t size), (file, size))
WRAP(int, ftruncate64, plan && grows(file, size) && ON_FILE(GROW, file), (int file, off64_t size), (file, size))

WRAP(int, fsync, ON_FILE(FLUSH, file), (int file), (file))
WRAP(int, fdatasync, ON_FILE(FLUSH, file), (int file), (file))

WRAP(int, rename, ON_PATH(NAME, AT_FDCWD, new), (const char *old, const char *new), (old, new))
WRAP(int, renameat, ON_PATH(NAME, to, new), (int from, const char *old, int to, const char *new), (from, old, to, new))
WRAP(int, renameat2, ON_PATH(NAME, to, new), (int from, const char *old, int to, const char *new, unsigned flags),
     (from, old, to, new, flags))
WRAP(int, link, ON_PATH(NAME, AT_FDCWD, new), (const char *old, const char *new), (old, new))
WRAP(int, linkat, ON_PATH(NAME, to, new), (int from, const char *old, int to, const char *new, int flags),
     (from, old, to, new, flags))
WRAP(int, symlink, ON_PATH(NAME, AT_FDCWD, path), (const char *target, const char *path), (target, path))
WRAP(int, symlinkat, ON_PATH(NAME, directory, path), (const char *target, int directory, const char *path),
     (target, directory, path))
WRAP(int, mkdir, ON_PATH(NAME, AT_FDCWD, path), (const char *path, mode_t mode), (path, mode))
WRAP(int, mkdirat, ON_PATH(NAME, directory, path), (int directory, const char *path, mode_t mode),
     (directory, path, mode))
WRAP(int, unlink, ON_PATH(OPEN, AT_FDCWD, path), (const char *path), (path))
WRAP(int, unlinkat, ON_PATH(OPEN, directory, path), (int directory, const char *path, int flags),
     (directory, path, flags))
WRAP(int, rmdir, ON_PATH(OPEN, AT_FDCWD, path), (const char *path), (path))

/* A full disk refuses new files; one that is read-only refuses every file that is opened for writing. */
static int opening_fails(int directory, const char *path, int flags) {
    struct stat found;
    if (!plan || (flags & O_TMPFILE) == O_TMPFILE)
        return 0;
    if ((flags & (O_CREAT | O_ACCMODE)) == O_RDONLY)
        return ON_PATH(LOOK, directory, path);
    if ((flags & O_CREAT) && NEXT(fstatat)(directory, path, &found, AT_SYMLINK_NOFOLLOW) != 0)
        return ON_PATH(NAME, directory, path);
    return (flags & O_ACCMODE) != O_RDONLY && ON_PATH(OPEN, directory, path);
}

#define WRAP_OPEN(name, directory, parameters, arguments)                                                              \
    int name parameters {                                                                                              \
        static __typeof__(&name) next;                                                                                 \
        mode_t mode = 0;                                                                                               \
        if (flags & (O_CREAT | O_TMPFILE)) {                                                                           \
            va_list more;                                                                                              \
            va_start(more, flags);                                                                                     \
            mode = va_arg(more, mode_t);                                                                               \
            va_end(more);                                                                                              \
        }                                                                                                              \
        if (opening_fails(directory, path, flags))                                                                     \
            return -1;                                                                                                 \
        if (!next)                                                                                                     \
            next = NEXT(name);                                                                                         \
        return next arguments;                                                                                         \
    }

WRAP_OPEN(open, AT_FDCWD, (const char *path, int flags, ...), (path, flags, mode))
WRAP_OPEN(open64, AT_FDCWD, (const char *path, int flags, ...), (path, flags, mode))
WRAP_OPEN(openat, directory, (int directory, const char *path, int flags, ...), (directory, path, flags, mode))
WRAP_OPEN(openat64, directory, (int directory, const char *path, int flags, ...), (directory, path, flags, mode))
