/*
 * SPDX-License-Identifier: MIT
 *
 * js.h - Node's C API in fewer words, for one environment: nothing of avow,
 * nothing that a suite could test.
 */
#ifndef AVOW_TEST_CONFORMANCE_JS_H
#define AVOW_TEST_CONFORMANCE_JS_H

#define NAPI_VERSION 8
#include <node_api.h>

/* NAPI_MODULE_INIT() defines this and does not declare it. */
NAPI_MODULE_EXPORT int32_t NODE_API_MODULE_GET_API_VERSION(void);

static napi_env js_env;

/* For calls that cannot fail unless the addon is wrong or memory is out. */
static inline void must(napi_status status)
{
	if (status != napi_ok)
		napi_fatal_error("addon.c", NAPI_AUTO_LENGTH, "a call failed",
				 NAPI_AUTO_LENGTH);
}

static inline napi_value js_undefined(void)
{
	napi_value undefined;
	must(napi_get_undefined(js_env, &undefined));
	return undefined;
}

static inline napi_value js_behind(napi_ref ref)
{
	napi_value value;
	must(napi_get_reference_value(js_env, ref, &value));
	return value;
}

static inline bool js_is(napi_value value, napi_valuetype wanted)
{
	napi_valuetype type;
	must(napi_typeof(js_env, value, &type));
	return type == wanted;
}

static inline bool js_is_function(napi_value value)
{
	return js_is(value, napi_function);
}

static inline bool js_is_object(napi_value value)
{
	return js_is(value, napi_object) || js_is_function(value);
}

/* How one of our functions was called; undefined where there is no argument. */
struct js_call {
	napi_value args[2], self;
	void *data;
};

static inline struct js_call js_call(napi_env env, napi_callback_info info)
{
	struct js_call call;
	size_t count = 2;
	must(napi_get_cb_info(env, info, &count, call.args, &call.self,
			      &call.data));
	return call;
}

static inline napi_value js_function(const char *name, napi_callback call,
				     void *data)
{
	napi_value function;
	must(napi_create_function(js_env, name, NAPI_AUTO_LENGTH, call, data,
				  &function));
	return function;
}

static inline void js_method(napi_value object, const char *name,
			     napi_callback call)
{
	must(napi_set_named_property(js_env, object, name,
				     js_function(name, call, NULL)));
}

static inline void js_set_count(napi_value object, const char *name,
				int64_t count)
{
	napi_value number;
	must(napi_create_int64(js_env, count, &number));
	must(napi_set_named_property(js_env, object, name, number));
}

#endif
