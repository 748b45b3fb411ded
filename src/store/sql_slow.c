/* Statements that take long are said, as lines of kind performance: the text, which holds no values
 * (those are parameters), and the time until the answer, waiting for a connection included, since
 * that is what the caller has waited. */
#include "log.h"
#include "sql_driver.h"

enum { TEXT_SHOWN = 500 };

void sql_log_slow(const sql_op *op, uint64_t us)
{
    uint64_t slow_ms = op->port->db->options.slow_ms;
    if (slow_ms == 0 || us < slow_ms * 1000 || op->kind != SQL_QUERY)
        return;
    slice text = {op->text.p, op->text.n < TEXT_SHOWN ? op->text.n : TEXT_SHOWN};
    log_warn("a statement was slow", LOG_TEXT("kind", "performance"), LOG_TEXT("event", "slow_sql"),
             LOG_NUM("us", us), LOG_SLICE("sql", text), LOG_NUM("rows", op->result.row_count));
}
