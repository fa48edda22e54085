// A disk that stops: writes of the record are not durable while the file STALL_WHILE is there.
//
// Loaded in front of the C library. Other files (the control log) are synced as ever.

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int fdatasync(int descriptor) {
    char name[64], path[PATH_MAX + 1];
    snprintf(name, sizeof name, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(name, path, PATH_MAX);
    path[length < 0 ? 0 : length] = 0;
    const char *stalls = getenv("STALL_WHILE");
    while (stalls && strstr(path, "/evidence/") && access(stalls, F_OK) == 0) usleep(1000);
    return (int)syscall(SYS_fdatasync, descriptor);
}
