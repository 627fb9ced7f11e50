/*
 * SPDX-License-Identifier: MIT
 *
 * run.c - the interpreter of programs over avow.
 *
 * A driver of a few lines stands in for libev, so a turn costs nothing: its
 * body runs as a callback would, and the jobs are drained behind it.  Where the
 * interface has several ways of saying the same the number of the operation
 * chooses one; a third of the values are on the heap, so that a value lost or
 * dropped twice is seen.
 */
#include "run.h"

#include "lifecycle.h"

#include <stdlib.h>
#include <string.h>

static struct {
	avow_loop *loop;
	const struct program *program; /* NULL: over, bodies do nothing */
	struct record *record;
	avow_promise *promise[OPS_MAX];
	const void *context[OPS_MAX]; /* of thenables that were started */
	/* Who settled first, by operation: body and turn. */
	int settler[OPS_MAX], settled_in[OPS_MAX];
	int turn, done;
	long boxes, drops;
	bool is_in_job;
} run;

static void AVOW_NORETURN run_failed(int code, const char *what)
{
	fprintf(stderr, "oracle: %s (%d)\n", what, code);
	abort();
}

/* ------------------------------------------------------------ The bare driver */

static void run_ignore(avow_loop *loop)
{
	(void)loop;
}

static void run_keep_alive(avow_loop *loop, bool on)
{
	(void)loop;
	(void)on;
}

static void run_turn(avow_loop *loop)
{
	(void)loop;
	run_failed(0, "jobs were handed over to another turn");
}

static unsigned run_depth(const avow_loop *loop)
{
	(void)loop;
	return DEPTH_BASE;
}

static const struct avow__driver run_driver = {
	.wake = run_ignore,
	.turn = run_turn,
	.look_again = run_ignore,
	.depth = run_depth,
	.ring = run_ignore,
	.listen = run_ignore,
	.keep_alive = run_keep_alive,
	.close = run_ignore,
	.free = run_ignore,
};

static void run_report(avow_loop *loop, const avow_report *report, void *arg)
{
	(void)loop;
	(void)arg;
	if (report->kind == AVOW_REPORT_MEMORY)
		run_failed(0, "out of memory");
}

void run_begin(bool is_ecmascript)
{
	run.loop = calloc(1, sizeof(*run.loop));
	if (!run.loop || !avow__loop_open(run.loop, &run_driver))
		run_failed(0, "no loop");
	avow_loop_on_report(run.loop, run_report, NULL);
	avow_loop_budget(run.loop, SIZE_MAX, 1e8);
	avow_loop_ecmascript_order(run.loop, is_ecmascript);
}

const char *run_end(void)
{
	avow_loop_free(run.loop);
	free(run.loop);
	run.loop = NULL;
	if (run.boxes)
		return "a value was lost, or dropped twice";
	if (run.drops)
		return "a drop did not run once";
	return NULL;
}

/* --------------------------------------------------------------------- Values */

struct box {
	int number;
};

static void box_drop(void *ptr)
{
	free(ptr);
	run.boxes--;
}

static avow_value box_copy(avow_value value);

static const avow_type box_type = {
	.name = "box",
	.drop = box_drop,
	.copy = box_copy,
};

static avow_value box_new(int number)
{
	struct box *const box = malloc(sizeof(*box));
	if (!box)
		run_failed(0, "no box");
	box->number = number;
	run.boxes++;
	return avow_own(box, &box_type);
}

static avow_value box_copy(avow_value value)
{
	const struct box *const box = value.as.ptr;
	return box_new(box->number);
}

static const char *failure_text(int code)
{
	(void)code;
	return "failure";
}

static const avow_domain failure_domain = {
	.type = { .name = "failure",
		  .is_error = true,
		  .describe = avow_domain_describe },
	.text = failure_text,
};

static avow_value failure_new(int number)
{
	if (number % 2)
		return avow_error_in(&failure_domain, number + 1, "op %d",
				     number);
	return avow_domain_error(&failure_domain, number + 1);
}

static avow_value thenable_start(avow_value value, void *context);

static const avow_type thenable_type = {
	.name = "thenable",
	.then = thenable_start,
};

/* -------------------------------------------------------------------- Tracing */

static void trace_put(struct trace *trace, int token)
{
	if (trace->count == TRACE_MAX)
		run_failed(token, "a trace that is too long");
	trace->tokens[trace->count++] = (int16_t)token;
}

static void trace_value(struct trace *trace, avow_value value, int depth);

static void trace_list(struct trace *trace, int tag, avow_value list, int depth)
{
	const size_t count = avow_list_count(list);
	trace_put(trace, tag);
	trace_put(trace, (int)count);
	for (size_t i = 0; i < count; i++)
		trace_value(trace, avow_list_at(list, i), depth + 1);
}

static void trace_error(struct trace *trace, avow_value error, int depth)
{
	const int code = avow_code(error);
	if (avow_error_is(error, &failure_domain, code)) {
		trace_put(trace, TAG_ERROR);
		trace_put(trace, code - 1);
	} else if (avow_error_is(error, &avow_core_domain, AVOW_EAGGREGATE)) {
		trace_list(trace, TAG_AGGREGATE, avow_cause(error), depth);
	} else if (avow_error_is(error, &avow_core_domain, AVOW_ECYCLE)) {
		trace_put(trace, TAG_CYCLE);
	} else {
		run_failed(code, avow_message(error));
	}
}

static void trace_value(struct trace *trace, avow_value value, int depth)
{
	const bool is_list =
		avow_is(value, &avow_list_type) ||
		avow_error_is(value, &avow_core_domain, AVOW_EAGGREGATE);
	if (is_list && depth == VALUE_DEPTH) {
		trace_put(trace, TAG_DEEP);
	} else if (avow_is_none(value)) {
		trace_put(trace, TAG_NONE);
	} else if (avow_is_error(value)) {
		trace_error(trace, value, depth);
	} else if (is_list) {
		trace_list(trace, TAG_LIST, value, depth);
	} else {
		const struct box *const box =
			avow_is(value, &box_type) ? value.as.ptr : NULL;
		trace_put(trace, TAG_INT);
		trace_put(trace, box ? box->number : (int)avow_int_get(value));
	}
}

static void run_event(int i, avow_value value)
{
	struct trace *const trace = &run.record->events;
	run.record->began_at[i] = (int)trace->count;
	trace_put(trace, i);
	trace_value(trace, value, 0);
}

size_t trace_next_value(const int16_t *tokens, size_t at)
{
	const int tag = tokens[at];
	if (tag == TAG_INT || tag == TAG_ERROR)
		return at + 2;
	if (tag != TAG_LIST && tag != TAG_AGGREGATE)
		return at + 1;
	const int count = tokens[at + 1];
	at += 2;
	for (int i = 0; i < count; i++)
		at = trace_next_value(tokens, at);
	return at;
}

void trace_print_value(const int16_t *tokens, size_t at, FILE *out)
{
	const int tag = tokens[at];
	const bool is_list = tag == TAG_LIST || tag == TAG_AGGREGATE;
	static const char *const words[] = { [TAG_NONE] = "undefined",
					     [TAG_INT] = "",
					     [TAG_ERROR] = "failure ",
					     [TAG_LIST] = "[",
					     [TAG_AGGREGATE] = "aggregate [",
					     [TAG_CYCLE] = "cycle",
					     [TAG_DEEP] = "..." };
	fputs(words[tag], out);
	if (tag == TAG_INT || tag == TAG_ERROR)
		fprintf(out, "%d", tokens[at + 1]);
	if (!is_list)
		return;
	const int count = tokens[at + 1];
	at += 2;
	for (int i = 0; i < count; i++) {
		fputs(i ? ", " : "", out);
		trace_print_value(tokens, at, out);
		at = trace_next_value(tokens, at);
	}
	fputc(']', out);
}

/* ----------------------------------------------------------------- Operations */

static void run_body(int body);

static avow_promise *run_promise(int i)
{
	return i >= 0 ? run.promise[i] : NULL;
}

/* What operation `i` resolves with, returns or gives. */
static avow_value run_result(int i, avow_value given)
{
	const struct op *const op = &run.program->ops[i];
	switch ((enum result)op->result) {
	case IS_INT:
		return i % 3 ? avow_int(i) : box_new(i);
	case IS_SAME:
		return i % 2 ? given : avow_take(given);
	case IS_ERROR:
		return failure_new(i);
	case IS_PROMISE:
		if (run_promise(op->arg))
			return avow_await(run_promise(op->arg));
		break;
	case IS_THENABLE: {
		avow_value value = avow_int(op->arg);
		value.type = &thenable_type;
		return value;
	}
	case IS_NONE:
	case RESULTS:
		break;
	}
	return avow_none();
}

/* A finally and a tap wait for promises alone: all else is dropped. */
static avow_value run_result_kept(int i, avow_value given)
{
	const avow_value result = run_result(i, given);
	if (result.type != &thenable_type)
		return result;
	return avow_await(avow_resolved(run.loop, result));
}

static avow_value run_handler(avow_value value, void *arg)
{
	const int i = (int)(intptr_t)arg;
	if (!run.program)
		return avow_none();
	const struct op *const op = &run.program->ops[i];
	run_event(i, op->kind == OP_FINALLY ? avow_none() : value);
	run_body(i);
	return op_keeps(op) ? run_result_kept(i, avow_none())
			    : run_result(i, value);
}

static avow_value run_copied_handler(avow_value value, void *copy)
{
	return run_handler(value, (void *)(intptr_t) * (int *)copy);
}

static void run_job(void *arg)
{
	if (!run.program)
		return;
	run_event((int)(intptr_t)arg, avow_none());
	run_body((int)(intptr_t)arg);
}

static void run_drop(void *arg)
{
	(void)arg;
	run.drops--;
}

/* A step of a ladder: its operation and its number. */
static avow_value run_tick(avow_value value, void *arg)
{
	const intptr_t step = (intptr_t)arg;
	(void)value;
	if (run.program)
		run_event((int)(step % OPS_MAX), avow_int(step / OPS_MAX));
	return avow_none();
}

static void run_ladder(int i, int count)
{
	avow_promise *p = avow_resolved(run.loop, avow_none());
	for (int step = 0; step < count; step++)
		p = avow_then(p, run_tick,
			      (void *)(intptr_t)(step * OPS_MAX + i));
}

/* Body `by` settles what `i` stands for; both may be thenables. */
static void run_settles(int i, int by)
{
	if (run.settler[i] == -OPS_MAX) {
		run.settler[i] = by;
		run.settled_in[i] = run.turn;
		return;
	}
	run.record->settled_twice++;
	if (run.settler[i] != by && run.settled_in[i] == run.turn)
		run.record->is_contested = true;
}

static avow_value thenable_start(avow_value value, void *context)
{
	const int t = (int)value.as.i64;
	if (!run.program)
		return avow_none();
	run.context[t] = context;
	run_event(t, avow_none());
	run_body(t);
	if (run.program->ops[t].result != IS_ERROR)
		return avow_none();
	run_settles(t, t);
	return failure_new(t);
}

static avow_promise *run_on(int i, avow_promise *of)
{
	void *const arg = (void *)(intptr_t)i;
	run.drops++;
	switch (run.program->ops[i].kind) {
	case OP_THEN:
		return avow_on(of, .fulfilled = run_handler, .arg = arg,
			       .drop = run_drop);
	case OP_CATCH:
		return avow_on(of, .rejected = run_handler, .arg = arg,
			       .drop = run_drop);
	case OP_FINALLY:
		return avow_on(of, .finally = run_handler, .arg = arg,
			       .drop = run_drop);
	case OP_PASS:
		return avow_attach(of, arg, run_drop);
	default:
		return avow_on(of, .fulfilled = run_handler,
			       .rejected = run_handler, .arg = arg,
			       .drop = run_drop);
	}
}

static avow_promise *run_attach(int i, avow_promise *of)
{
	void *const arg = (void *)(intptr_t)i;
	if (avow_state_of(of) != AVOW_PENDING)
		run.record->attached_late++;
	const struct op *const op = &run.program->ops[i];
	if (op->kind == OP_TAP)
		return avow_tap(of, run_handler, arg);
	if (op->kind == OP_TAP_CATCH)
		return avow_tap_catch(of, run_handler, arg);
	if (op->kind == OP_CATCH_CODE)
		return avow_catch_code(of, &failure_domain, op->count + 1,
				       run_handler, arg);
	if (i % 3 == 0)
		return run_on(i, of);
	switch (op->kind) {
	case OP_THEN:
		return i % 3 == 1 ? avow_then(of, run_handler, arg)
				  : avow_then_copy(of, run_copied_handler, &i);
	case OP_CATCH:
		return avow_catch(of, run_handler, arg);
	case OP_FINALLY:
		return avow_finally(of, run_handler, arg);
	case OP_PASS:
		return avow_shield(of);
	default:
		return run_on(i, of);
	}
}

static avow_promise *run_combine(const struct op *op)
{
	avow_promise *list[LIST_MAX];
	size_t count = 0;
	for (int n = 0; n < op->count; n++) {
		if (run_promise(op->list[n]))
			list[count++] = run_promise(op->list[n]);
	}
	switch (op->kind) {
	case OP_ALL:
		return avow_all(run.loop, list, count);
	case OP_ALL_SETTLED:
		return avow_all_settled(run.loop, list, count);
	case OP_ANY:
		return avow_any(run.loop, list, count);
	default:
		return avow_race(run.loop, list, count);
	}
}

static avow_promise *run_make(int i)
{
	const struct op *const op = &run.program->ops[i];
	if (op->kind == OP_PENDING)
		return avow_pending(run.loop);
	if (op->kind == OP_RESOLVED)
		return avow_resolved(run.loop, run_result(i, avow_none()));
	if (op->kind == OP_REJECTED)
		return avow_rejected(run.loop, failure_new(i));
	if (op_is_list(op))
		return run_combine(op);
	if (run_promise(op->of))
		return run_attach(i, run_promise(op->of));
	return NULL;
}

static void run_settle(int i)
{
	const struct op *const op = &run.program->ops[i];
	if (op->kind == OP_GIVE) {
		if (!run.context[op->of])
			return;
		run_settles(op->of, op->where);
		avow_settle(run.context[op->of], run_result(i, avow_none()));
	} else if (run_promise(op->of)) {
		run_settles(op->of, op->where);
		if (op->kind == OP_RESOLVE)
			avow_resolve(run_promise(op->of),
				     run_result(i, avow_none()));
		else
			avow_reject(run_promise(op->of), failure_new(i));
	}
}

static void run_op(int i)
{
	const struct op *const op = &run.program->ops[i];
	run.record->done_at[i] = run.done++;
	if (op_makes_promise(op)) {
		run.promise[i] = run_make(i);
		if (run.promise[i] && op->is_held)
			avow_hold(run.promise[i]);
	} else if (op->kind == OP_POST) {
		if (!avow_post(run.loop, run_job, (void *)(intptr_t)i))
			run_failed(i, "avow_post()");
	} else if (op->kind == OP_LADDER) {
		run_ladder(i, op->count);
	} else {
		run_settle(i);
	}
}

static void run_body(int body)
{
	for (int i = 0; i < run.program->count; i++) {
		const struct op *const op = &run.program->ops[i];
		if (op->where == body && op->kind != OP_NOTHING &&
		    op->kind != OP_THENABLE)
			run_op(i);
	}
}

/* --------------------------------------------------------------- The whole run */

static void run_reset(const struct program *program, struct record *record)
{
	run.program = program;
	run.record = record;
	run.done = 0;
	record->events.count = record->outcomes.count = 0;
	record->is_contested = false;
	record->settled_twice = record->attached_late = 0;
	for (int i = 0; i < program->count; i++) {
		run.promise[i] = NULL;
		run.context[i] = NULL;
		run.settler[i] = -OPS_MAX;
		record->done_at[i] = record->began_at[i] = -1;
	}
}

void run_program(const struct program *program, struct record *record)
{
	run_reset(program, record);
	for (run.turn = 0; run.turn < TURNS; run.turn++) {
		trace_put(&record->events, -1);
		run_body(-1 - run.turn);
		avow__drain(run.loop, DEPTH_BASE);
	}
	for (int i = 0; i < program->count; i++) {
		avow_promise *const p = run.promise[i];
		if (!p || !program->ops[i].is_held)
			continue;
		if (avow_state_of(p) != AVOW_PENDING) {
			trace_put(&record->outcomes, i);
			trace_value(&record->outcomes, avow_value_of(p), 0);
		}
		avow_release(p);
	}
	run.program = NULL;
	avow__drain(run.loop, DEPTH_BASE);
}
