---@meta host.sql

---The relational database: SQLite (a file in the data folder) or PostgreSQL (`sql.url`,
---`DATABASE_URL`). The same calls, types and error codes on both; docs/sql.md tells what differs.
---Every call waits without blocking the worker.
---
---A failure of the world returns nil, a message for people, a code, and details:
--- "unique", "foreign_key", "not_null", "check", "exclusion", "raised": the schema refused it
--- "type", "parameters", "syntax", "denied", "read_only", "too_large": the statement is wrong
--- "conflict", "busy", "timeout", "unavailable", "full": not now; "aborted": the transaction had
--- failed before; "failed": anything else
---@class host.sql
---@field name "sqlite"|"postgres"|"none" the driver
---@field null userdata as host.json's: a parameter that is null (nil is, too)
local sql = {}

---@alias sql.code
---| "unique"|"foreign_key"|"not_null"|"check"|"exclusion"|"raised"
---| "type"|"parameters"|"syntax"|"denied"|"read_only"|"too_large"
---| "conflict"|"busy"|"timeout"|"unavailable"|"full"|"aborted"|"failed"

---@alias sql.value string|integer|number|boolean|nil|userdata

---What is known of a failure.
---@class sql.details
---@field constraint? string its name
---@field table? string
---@field columns? string[]
---@field unsure? boolean true: the statement may have been done all the same

---Rows as plain tables; a null is absent. A list to #, ipairs and JSON.
---@class sql.rows
---@field n integer how many rows; beside the list, as is:
---@field affected integer rows inserted, changed or deleted
---@field [integer] table<string, sql.value>

---@class sql.query_options
---@field timeout? number seconds; `sql.timeout` when absent
---@field rows? integer at most so many rows, else "too_large"; `sql.rows` when absent

---One statement, with values as parameters only: `$1`, `$2` ... stand for the list's values, in any
---order, more than once if need be; missing ones are null.
---@param text string
---@param params? sql.value[] texts, integers, floats, booleans, sql.blob(...), nil
---@param options? sql.query_options
---@return sql.rows? rows
---@return string? message
---@return sql.code? code
---@return sql.details? details
function sql.query(text, params, options) end

---@class sql.tx_options
---@field serializable? boolean as if no other ran at the same time; SQLite's always are
---@field read_only? boolean SQLite: does not hold up writers
---@field timeout? number seconds for the whole; `sql.transaction` when absent

---A transaction while its function runs.
---@class sql.tx
---@field query fun(text: string, params?: sql.value[], options?: sql.query_options): sql.rows?, string?, sql.code?, sql.details?

---Runs fn in a transaction and returns what it returns (true for nothing). It rolls back when fn
---raises (and raises the same), when fn returns nil and a message (and returns the same), and when
---any of its statements has failed. After a "conflict" with others the whole of fn runs again, up
---to five times, so it should do nothing but talk to tx.
---@generic T
---@param fn fun(tx: sql.tx): T
---@param options? sql.tx_options
---@return T|true|nil
---@return string? message
---@return sql.code? code
---@return sql.details? details
function sql.transaction(fn, options) end

---Bytes that are no text, as a parameter. In results they are strings.
---@param bytes string
---@return userdata
function sql.blob(bytes) end

---The statements of a file, without their semicolons.
---@param text string
---@return string[]
function sql.split(text) end

return sql
