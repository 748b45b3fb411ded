/* The command line: which subcommand, which arguments. */
#include "host.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    if (argc >= 3 && strcmp(argv[1], "lua") == 0)
        return host_lua(NULL, argv[2], argc - 3, argv + 3);
    fprintf(stderr, "usage: lunacast lua FILE [args]\n");
    return 2;
}
