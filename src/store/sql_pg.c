/* The PostgreSQL driver. */
#include "sql_driver.h"
#include <stdio.h>
sql_db *sql_pg_open(const sql_options *options, char *error, size_t error_size)
{
    (void)options;
    snprintf(error, error_size, "sql.url: PostgreSQL comes later");
    return NULL;
}
