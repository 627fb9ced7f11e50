/*
 * SPDX-License-Identifier: MIT
 *
 * addon.c - carries the calls of a JavaScript test suite to avow, and back.
 *
 * Every promise here is one of avow's, and avow alone decides what becomes of
 * it and when its handlers run.  The two languages meet as follows:
 *
 *   a promise             an object around a held avow_promise, which is
 *                         released when the object is collected; see wrap()
 *   a value               a box (an array behind a strong reference) that is
 *                         the payload of an avow_value; its type says whether
 *                         it is a value, a reason (an error type, so that it
 *                         rejects) or a thenable (a type with a `then`)
 *   promise.then(f, g)    avow_on() with two handlers, each of which calls a
 *                         function and gives what it returns, or throws, to
 *                         avow
 *   a promise given back  avow_await()
 *   resolve, reject       avow_resolve(), avow_reject(); those that a
 *                         thenable is given, avow_settle()
 *   a turn of the loop    setImmediate() runs ev_run() once while avow has
 *                         something to do
 *
 * One thing has to be decided on this side: of which type a value is.  To be a
 * thenable means in JavaScript to have a `then` that is a function, and to look
 * at it is to run code; so classify(), which is section 2.3 of Promises/A+ up
 * to the point where something happens, asks once and at once, as section
 * 2.3.3.1 wants.  A call of resolve() that avow will ignore is asked as well,
 * since only avow knows that it will be.
 */
#include <ev.h>

#include "avow.h"
#include "js.h"

static struct {
	napi_ref set_immediate, turn;
	struct ev_loop *ev;
	avow_loop *loop;
	bool is_turn_due;
	bool is_over; /* the loop ends: nobody is called any more */
	/* What is alive now: boxes of values, reasons and thenables; pairs of
	 * handlers; objects that stand for a promise. */
	int64_t value_count, pair_count, promise_count;
} js;

/* Call a function of the suite; false when it has thrown. */
static bool js_try(napi_value self, napi_value function, size_t count,
		   const napi_value args[], napi_value *result)
{
	return napi_call_function(js_env, self, function, count, args,
				  result) == napi_ok;
}


/* ------------------------------------------------------------------ Boxes
 *
 * Numbers and strings cannot be referred to, so what is kept stands in an
 * array, alone or with another, and the array is referred to.
 */

static napi_ref box_new(napi_value first, napi_value second)
{
	napi_value array;
	must(napi_create_array_with_length(js_env, 2, &array));
	must(napi_set_element(js_env, array, 0, first));
	must(napi_set_element(js_env, array, 1, second));
	napi_ref box;
	must(napi_create_reference(js_env, array, 1, &box));
	return box;
}

static napi_value box_item(void *box, uint32_t index)
{
	napi_value item;
	must(napi_get_element(js_env, js_behind(box), index, &item));
	return item;
}

static void value_drop(void *box)
{
	js.value_count--;
	must(napi_delete_reference(js_env, box));
}

static void pair_drop(void *box)
{
	js.pair_count--;
	must(napi_delete_reference(js_env, box));
}

static avow_value thenable_start(avow_value thenable, void *context);

static const avow_type value_type = {
	.name = "JavaScript value",
	.drop = value_drop,
};

static const avow_type reason_type = {
	.name = "JavaScript reason",
	.drop = value_drop,
	.is_error = true,
};

/* Of an object and its `then`. */
static const avow_type thenable_type = {
	.name = "JavaScript thenable",
	.drop = value_drop,
	.then = thenable_start,
};

static avow_value value_new(const avow_type *type, napi_value first,
			    napi_value second)
{
	js.value_count++;
	return avow_own(box_new(first, second), type);
}

static avow_value reason_new(napi_value reason)
{
	return value_new(&reason_type, reason, js_undefined());
}

/* Something was thrown: that is the reason. */
static avow_value reason_thrown(void)
{
	napi_value thrown;
	must(napi_get_and_clear_last_exception(js_env, &thrown));
	return reason_new(thrown);
}

/* An error that avow itself has made: the TypeError of section 2.3.1 for a
 * promise that would follow itself, and a plain one for any other. */
static napi_value js_error_of(avow_value error)
{
	napi_value text, result;
	must(napi_create_string_utf8(js_env, avow_message(error),
				     NAPI_AUTO_LENGTH, &text));
	if (avow_error_is(error, &avow_core_domain, AVOW_ECYCLE))
		must(napi_create_type_error(js_env, NULL, text, &result));
	else
		must(napi_create_error(js_env, NULL, text, &result));
	return result;
}

static napi_value js_value_of(avow_value value)
{
	if (avow_is(value, &value_type) || avow_is(value, &reason_type))
		return box_item(value.as.ptr, 0);
	return avow_is_error(value) ? js_error_of(value) : js_undefined();
}


/* --------------------------------------------------------------- The loop */

static void turn_ask(void)
{
	if (js.is_turn_due || js.is_over)
		return;
	js.is_turn_due = true;
	napi_value turn = js_behind(js.turn);
	must(napi_call_function(js_env, js_undefined(),
				js_behind(js.set_immediate), 1, &turn, NULL));
}

/*
 * One iteration of libev.  It is asked for again while something is left to
 * do: jobs beyond the budget of a drain keep a watcher active.
 */
static napi_value turn(napi_env env, napi_callback_info info)
{
	(void)env;
	(void)info;
	js.is_turn_due = false;
	if (!js.is_over &&
	    (ev_run(js.ev, EVRUN_NOWAIT) || ev_pending_count(js.ev)))
		turn_ask();
	return NULL;
}

/* The suite leaves rejections alone and settles twice, on purpose. */
static void report(avow_loop *loop, const avow_report *report, void *arg)
{
	if (report->kind == AVOW_REPORT_MEMORY)
		avow_report_print(loop, report, arg);
}

/*
 * The end of the loop settles what is pending still, which would call the
 * handlers of tests that are over.
 */
static void loop_end(void *arg)
{
	(void)arg;
	if (js.is_over)
		return;
	js.is_over = true;
	avow_loop_free(js.loop);
	ev_loop_destroy(js.ev);
}


/* --------------------------------------------------------------- Promises */

static const napi_type_tag promise_tag = { 0x61766f77636f6e66,
					   0x6f726d616e636531 };

static napi_value promise_then(napi_env env, napi_callback_info info);

static void promise_collected(napi_env env, void *promise, void *hint)
{
	(void)env;
	(void)hint;
	js.promise_count--;
	/* The end of its loop has ended the promise as well. */
	if (!js.is_over)
		avow_release(promise);
}

static napi_value wrap(avow_promise *promise)
{
	napi_value object;
	must(napi_create_object(js_env, &object));
	js_method(object, "then", promise_then);
	must(napi_type_tag_object(js_env, object, &promise_tag));
	must(napi_wrap(js_env, object, promise, promise_collected, NULL, NULL));
	avow_hold(promise);
	js.promise_count++;
	/* Whatever was called may have made work. */
	turn_ask();
	return object;
}

/* NULL for anything else. */
static avow_promise *unwrap(napi_value value)
{
	bool is_ours = false;
	void *promise = NULL;
	if (js_is_object(value))
		must(napi_check_object_type_tag(js_env, value, &promise_tag,
						&is_ours));
	if (is_ours)
		must(napi_unwrap(js_env, value, &promise));
	return promise;
}

/* What a value is to avow; see the top. */
static avow_value classify(napi_value value)
{
	avow_promise *const promise = unwrap(value);
	if (promise)
		return avow_await(promise);
	napi_value then = js_undefined();
	if (js_is_object(value) &&
	    napi_get_named_property(js_env, value, "then", &then) != napi_ok)
		return reason_thrown();
	return value_new(js_is_function(then) ? &thenable_type : &value_type,
			 value, then);
}


/* --------------------------------------------------------------- Handlers */

static avow_value handler_call(avow_value value, void *pair, uint32_t which)
{
	if (js.is_over)
		return avow_none();
	napi_handle_scope scope;
	must(napi_open_handle_scope(js_env, &scope));
	const napi_value arg = js_value_of(value);
	napi_value result;
	const bool was_called =
		js_try(js_undefined(), box_item(pair, which), 1, &arg, &result);
	const avow_value outcome = was_called ? classify(result)
					      : reason_thrown();
	must(napi_close_handle_scope(js_env, scope));
	return outcome;
}

static avow_value handler_fulfilled(avow_value value, void *pair)
{
	return handler_call(value, pair, 0);
}

static avow_value handler_rejected(avow_value reason, void *pair)
{
	return handler_call(reason, pair, 1);
}

/* promise.then(onFulfilled, onRejected) */
static napi_value promise_then(napi_env env, napi_callback_info info)
{
	const struct js_call call = js_call(env, info);
	avow_promise *const promise = unwrap(call.self);
	if (!promise || js.is_over) {
		napi_throw_type_error(env, NULL, "not a promise of avow");
		return NULL;
	}
	js.pair_count++;
	return wrap(avow_on(
		promise,
		.fulfilled = js_is_function(call.args[0]) ? handler_fulfilled
							  : NULL,
		.rejected = js_is_function(call.args[1]) ? handler_rejected
							 : NULL,
		.arg = box_new(call.args[0], call.args[1]), .drop = pair_drop));
}


/* -------------------------------------------------------------- Thenables */

/* The functions that a thenable is given; `data` is avow's context, which is
 * harmless after it was settled. */
static napi_value thenable_resolve(napi_env env, napi_callback_info info)
{
	const struct js_call call = js_call(env, info);
	avow_settle(call.data, classify(call.args[0]));
	turn_ask();
	return NULL;
}

static napi_value thenable_reject(napi_env env, napi_callback_info info)
{
	const struct js_call call = js_call(env, info);
	avow_settle(call.data, reason_new(call.args[0]));
	turn_ask();
	return NULL;
}

/* The `then` of avow's type, which avow calls as a job of its own. */
static avow_value thenable_start(avow_value thenable, void *context)
{
	if (js.is_over)
		return avow_none();
	napi_handle_scope scope;
	must(napi_open_handle_scope(js_env, &scope));
	const napi_value args[] = {
		js_function("resolve", thenable_resolve, context),
		js_function("reject", thenable_reject, context),
	};
	napi_value ignored;
	const bool was_called = js_try(box_item(thenable.as.ptr, 0),
				       box_item(thenable.as.ptr, 1), 2, args,
				       &ignored);
	const avow_value outcome = was_called ? avow_none() : reason_thrown();
	must(napi_close_handle_scope(js_env, scope));
	return outcome;
}


/* --------------------------------------------------- What the adapter calls */

static napi_value export_pending(napi_env env, napi_callback_info info)
{
	(void)env;
	(void)info;
	return wrap(avow_pending(js.loop));
}

static napi_value export_resolved(napi_env env, napi_callback_info info)
{
	const struct js_call call = js_call(env, info);
	return wrap(avow_resolved(js.loop, classify(call.args[0])));
}

static napi_value export_rejected(napi_env env, napi_callback_info info)
{
	const struct js_call call = js_call(env, info);
	return wrap(avow_rejected(js.loop, reason_new(call.args[0])));
}

/* resolve(promise, value) and reject(promise, reason) */
static napi_value export_resolve(napi_env env, napi_callback_info info)
{
	const struct js_call call = js_call(env, info);
	avow_resolve(unwrap(call.args[0]), classify(call.args[1]));
	turn_ask();
	return NULL;
}

static napi_value export_reject(napi_env env, napi_callback_info info)
{
	const struct js_call call = js_call(env, info);
	avow_reject(unwrap(call.args[0]), reason_new(call.args[1]));
	turn_ask();
	return NULL;
}

static napi_value export_order(napi_env env, napi_callback_info info)
{
	const struct js_call call = js_call(env, info);
	bool is_ecmascript;
	must(napi_get_value_bool(env, call.args[0], &is_ecmascript));
	avow_loop_ecmascript_order(js.loop, is_ecmascript);
	return NULL;
}

static napi_value export_counts(napi_env env, napi_callback_info info)
{
	(void)env;
	(void)info;
	/* JavaScript has held handles only, so what is settled can go. */
	if (!js.is_over)
		avow_tidy(js.loop);
	napi_value counts;
	must(napi_create_object(js_env, &counts));
	js_set_count(counts, "values", js.value_count);
	js_set_count(counts, "handlers", js.pair_count);
	js_set_count(counts, "promises", js.promise_count);
	return counts;
}

/* Gives what is alive afterwards. */
static napi_value export_end(napi_env env, napi_callback_info info)
{
	loop_end(NULL);
	return export_counts(env, info);
}

static void loop_begin(void)
{
	js.ev = ev_loop_new(EVFLAG_AUTO);
	js.loop = js.ev ? avow_loop_new(js.ev) : NULL;
	must(js.loop ? napi_ok : napi_generic_failure);
	avow_loop_on_report(js.loop, report, NULL);
	must(napi_add_env_cleanup_hook(js_env, loop_end, NULL));
}

NAPI_MODULE_INIT()
{
	js_env = env;
	napi_value global, set_immediate;
	must(napi_get_global(env, &global));
	must(napi_get_named_property(env, global, "setImmediate",
				     &set_immediate));
	must(napi_create_reference(env, set_immediate, 1, &js.set_immediate));
	must(napi_create_reference(env, js_function("turn", turn, NULL), 1,
				   &js.turn));
	loop_begin();
	js_method(exports, "pending", export_pending);
	js_method(exports, "resolved", export_resolved);
	js_method(exports, "rejected", export_rejected);
	js_method(exports, "resolve", export_resolve);
	js_method(exports, "reject", export_reject);
	js_method(exports, "ecmascriptOrder", export_order);
	js_method(exports, "counts", export_counts);
	js_method(exports, "end", export_end);
	return exports;
}
