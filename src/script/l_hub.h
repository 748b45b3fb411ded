/* What other files of this folder ask of the hub's binding. */
#pragma once
#include "hub.h"
#include "vm.h"
#include <stdbool.h>

/* Ends the watch at `arg`; anything else there is left alone. */
void hub_watch_close(lua_State *L, int arg);
/* The worker's, and a name that may be one; else they raise. */
hub_port *hub_check_port(lua_State *L);
slice hub_check_topic(lua_State *L, int arg);
/* The option `mode` of the table at `arg`: 1 for "log", 0 for "latest", -1 for none; else raises.
 */
int hub_check_mode(lua_State *L, int arg);
/* The same, where the topic's rule speaks when the option does not. */
bool hub_check_log(lua_State *L, int arg, slice topic);
/* Is who subscribes present in the topic: the option `presence`, else what the topic's rule says.
 */
bool hub_check_presence(lua_State *L, int arg, slice topic);
/* The option of that name as a position, which may be none; what is no position is one that no
 * topic knows. */
hub_position hub_text_position(const char *text);
hub_position hub_check_position(lua_State *L, int arg, const char *name);
/* Pushes it as text and returns 1; nothing and 0 when there is none. */
int hub_push_position(lua_State *L, hub_position position);
/* rules, rule, history, key */
int hub_set_topic_rules(lua_State *L);
int hub_topic_rule(lua_State *L);
int hub_topic_history(lua_State *L);
int hub_topic_key(lua_State *L);
/* hub.subscribe(topic, { mode, since }) -> subscription (l_hub_subscription.c) */
int hub_subscribe_script(lua_State *L);
