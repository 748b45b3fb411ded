/* CPU time of a server from outside, in seconds: of all threads of a process and its children. */
#pragma once
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

static double threads_cpu(int pid)
{
    char path[128];
    double sum = 0;
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *dir = opendir(path);
    for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
        unsigned long long ns = 0;
        if (e->d_name[0] == '.')
            continue; /* ".." is the process: its main thread again */
        snprintf(path, sizeof path, "/proc/%d/task/%.20s/schedstat", pid, e->d_name);
        FILE *file = fopen(path, "r");
        if (file != NULL && fscanf(file, "%llu", &ns) == 1)
            sum += (double)ns / 1e9;
        if (file != NULL)
            fclose(file);
    }
    if (dir != NULL)
        closedir(dir);
    return sum;
}

static int parent_of(int pid)
{
    char path[64];
    int parent = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    if (file != NULL && fscanf(file, "%*d (%*[^)]) %*c %d", &parent) != 1)
        parent = 0;
    if (file != NULL)
        fclose(file);
    return parent;
}

static double server_cpu(int server)
{
    double sum = threads_cpu(server);
    DIR *dir = opendir("/proc");
    for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
        int pid = atoi(e->d_name);
        if (pid > 0 && parent_of(pid) == server)
            sum += threads_cpu(pid);
    }
    if (dir != NULL)
        closedir(dir);
    return sum;
}
