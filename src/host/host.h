/* The process: N workers, signals, ordered start and shutdown. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct config;

/* The settings to begin with, and how to read them anew for a reload: NULL with a message when they
 * are wrong; else the caller holds the one reference. */
typedef struct {
    struct config *config;
    struct config *(*read)(void *arg, char *error, size_t error_size);
    void *arg;
    bool stand_in;       /* lunacast dev: what can't start yet is shown until it can */
    const char *problem; /* with stand_in: why the settings can't be read; NULL: they were */
} host_settings;

/* Runs the server on the application in `folder` until a signal ends it. Prints the ready line on
 * stdout. The process's exit code: 0 after an ordered shutdown, 1 when it could not start. */
int host_run(const host_settings *settings, const char *folder);

/* Runs a Lua file as a task with every module, in one worker without listeners; argv[0 .. argc-1]
 * are its arguments (`...` and the global `arg`). The exit code: 0, 1 when it raised, or the
 * integer that the file returns. */
int host_lua(struct config *config, const char *file, int argc, char **argv);

/* Runs a command of lua/commands/ on the application in `folder`: argv[0] is its name. The store is
 * opened when the command asks for it. The exit code: the command's, or 1 when it raised. */
int host_command(struct config *config, const char *folder, int argc, char **argv);
