/* The table of C modules that scripts can require: one row per l_<name>.c. */
#include "vm.h"

int luaopen_host_client(lua_State *L);
int luaopen_host_command(lua_State *L);
int luaopen_host_account(lua_State *L);
int luaopen_host_config(lua_State *L);
int luaopen_host_control(lua_State *L);
int luaopen_host_crypto(lua_State *L);
int luaopen_host_event(lua_State *L);
int luaopen_host_events(lua_State *L);
int luaopen_host_file(lua_State *L);
int luaopen_host_gateway(lua_State *L);
int luaopen_host_hub(lua_State *L);
int luaopen_host_json(lua_State *L);
int luaopen_host_jwk(lua_State *L);
int luaopen_host_jwt(lua_State *L);
int luaopen_host_log(lua_State *L);
int luaopen_host_metrics(lua_State *L);
int luaopen_host_peer(lua_State *L);
int luaopen_host_process(lua_State *L);
int luaopen_host_regex(lua_State *L);
int luaopen_host_redis(lua_State *L);
int luaopen_host_sql(lua_State *L);
int luaopen_host_store(lua_State *L);
int luaopen_host_task(lua_State *L);
int luaopen_host_template(lua_State *L);
int luaopen_host_time(lua_State *L);
int luaopen_host_unicode(lua_State *L);
int luaopen_host_zone(lua_State *L);

/* clang-format off */
const luaL_Reg vm_modules[] = {
    {"host.client", luaopen_host_client},
    {"host.command", luaopen_host_command},
    {"host.account", luaopen_host_account},
    {"host.config", luaopen_host_config},
    {"host.control", luaopen_host_control},
    {"host.crypto", luaopen_host_crypto},
    {"host.event", luaopen_host_event},
    {"host.events", luaopen_host_events},
    {"host.file", luaopen_host_file},
    {"host.gateway", luaopen_host_gateway},
    {"host.hub", luaopen_host_hub},
    {"host.json", luaopen_host_json},
    {"host.jwk", luaopen_host_jwk},
    {"host.jwt", luaopen_host_jwt},
    {"host.log", luaopen_host_log},
    {"host.metrics", luaopen_host_metrics},
    {"host.peer", luaopen_host_peer},
    {"host.process", luaopen_host_process},
    {"host.regex", luaopen_host_regex},
    {"host.redis", luaopen_host_redis},
    {"host.sql", luaopen_host_sql},
    {"host.store", luaopen_host_store},
    {"host.task", luaopen_host_task},
    {"host.template", luaopen_host_template},
    {"host.time", luaopen_host_time},
    {"host.unicode", luaopen_host_unicode},
    {"host.zone", luaopen_host_zone},
    {NULL, NULL},
};
/* clang-format on */
