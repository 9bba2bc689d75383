/* Where the machine allows fewer open files than Elasticsearch asks for in a cluster (65,535), and no container may have
   more: tells it that there are enough. For tests, which open few. */
#define _GNU_SOURCE
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

int getrlimit(__rlimit_resource_t resource, struct rlimit *limit) {
    int failed = (int)syscall(SYS_prlimit64, 0, resource, 0, limit);
    if (!failed && resource == RLIMIT_NOFILE)
        limit->rlim_cur = limit->rlim_max = 65535;
    return failed;
}

int getrlimit64(__rlimit_resource_t resource, struct rlimit64 *limit) {
    return getrlimit(resource, (struct rlimit *)limit);
}
