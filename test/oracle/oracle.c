/*
 * SPDX-License-Identifier: MIT
 *
 * oracle.c - random promise programs, run by avow and by a JavaScript engine.
 *
 *     oracle SCRIPT SEED PROGRAMS [FIRST [usual]]
 *
 * PROGRAMS of them from number FIRST on.  What fails is made as small as it can
 * be and printed as JavaScript, with both traces.  With `usual` the usual order
 * stands in for ECMAScript's: that has to fail, and so tests the oracle.
 *
 * With avow_loop_ecmascript_order() the traces must be equal, event for event
 * (a ladder of thens in most programs counts the hops), and so must the
 * outcomes.  In the usual order, where following takes no jobs, it is compared
 * with that trace:
 *
 *   1. each body runs as often, in the same turn, with the same value;
 *   2. the promises have the same outcome;
 *   3. the handlers of a promise run in the order in which they were attached;
 *   4. a handler runs behind the body that attached it, and behind the handler
 *      whose promise it is attached to.
 *
 * 1 and 2 hold for programs whose outcome does not depend on which of two
 * chains is faster: not wild ones, nor those in which two bodies settle one
 * promise, or a combinator has two inputs that could decide it.  3 and 4 hold
 * for all.
 *
 * Where avow differs on purpose, programs are made or written so that it is not
 * seen:
 *
 *   - Promises that follow each other in a circle are rejected; in JavaScript,
 *     they wait for ever, but for a promise that follows itself.  A finally
 *     that waits for its own promise waits for ever there as well.  Only the
 *     latter circle, without finally, is made.
 *   - The handler of a finally is given the outcome.  It is not written.
 *   - A thenable returned by a finally is dropped as every other value; to be
 *     waited for it is returned as avow_await(avow_resolved(...)).
 *   - An error returned is what an error thrown is; there is no value that is
 *     an error and fulfils.  all_settled() has errors in its list where
 *     JavaScript has { status, reason }.
 *   - There are combinators of promises alone, resolve(promise) that is the
 *     identity is not there, and a thenable is looked at by its type: no `then`
 *     is got.
 *   - A rejection nobody handled is reported when nobody can handle it any
 *     more, in JavaScript behind the jobs of the turn.  Neither is compared.
 */
#include "engine.h"
#include "shrink.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* -------------------------------------------------------------- What is compared */

/* The three runs of a program. */
struct runs {
	struct trace events, outcomes; /* of the engine */
	struct record strict, usual;   /* of avow, in either order */
};

static struct runs *runs_new(size_t count)
{
	struct runs *const runs = calloc(count, sizeof(*runs));
	for (size_t k = 0; runs && k < count; k++) {
		struct trace *const traces[] = { &runs[k].strict.events,
						 &runs[k].strict.outcomes,
						 &runs[k].usual.events,
						 &runs[k].usual.outcomes };
		for (size_t n = 0; n < 4; n++) {
			traces[n]->tokens = malloc(TRACE_MAX * sizeof(int16_t));
			if (!traces[n]->tokens)
				return NULL;
		}
	}
	return runs;
}

static bool trace_is_same(const struct trace *a, const struct trace *b)
{
	return a->count == b->count &&
	       !memcmp(a->tokens, b->tokens, a->count * sizeof(*a->tokens));
}

/* The outcome of each promise: where it stands in the list, or 0 of `found`. */
static void outcomes_find(const struct trace *trace, size_t found[OPS_MAX])
{
	memset(found, 0, OPS_MAX * sizeof(*found));
	for (size_t at = 0; at < trace->count;
	     at = trace_next_event(trace->tokens, at))
		found[trace->tokens[at]] = at + 1;
}

static bool value_is_same(const int16_t *a, size_t a_at, const int16_t *b,
			  size_t b_at)
{
	const size_t size = trace_next_value(a, a_at) - a_at;
	return trace_next_value(b, b_at) - b_at == size &&
	       !memcmp(a + a_at, b + b_at, size * sizeof(*a));
}

/* What is held has the same outcome as in the engine. */
static bool outcomes_are_same(const struct program *program,
			      const struct trace *all, const struct trace *held)
{
	size_t a[OPS_MAX], b[OPS_MAX];
	outcomes_find(all, a);
	outcomes_find(held, b);
	for (int i = 0; i < program->count; i++) {
		if (!program->ops[i].is_held)
			continue;
		if (!a[i] != !b[i])
			return false;
		if (a[i] &&
		    !value_is_same(all->tokens, a[i], held->tokens, b[i]))
			return false;
	}
	return true;
}

/* Does an input with this tag decide, if it comes first? */
static bool is_decisive(enum kind kind, int tag)
{
	const bool is_rejected = tag == TAG_ERROR || tag == TAG_AGGREGATE ||
				 tag == TAG_CYCLE;
	switch (kind) {
	case OP_ALL:
		return is_rejected;
	case OP_ANY:
		return !is_rejected;
	default:
		return kind == OP_RACE;
	}
}

/* Could two of its inputs, with different outcomes, decide a combinator? */
static bool list_is_contested(const struct op *op, const struct trace *outcomes,
			      const size_t found[OPS_MAX])
{
	size_t first = 0;
	for (int n = 0; n < op->count; n++) {
		const size_t at = op->list[n] >= 0 ? found[op->list[n]] : 0;
		if (!at ||
		    !is_decisive((enum kind)op->kind, outcomes->tokens[at]))
			continue;
		if (first && !value_is_same(outcomes->tokens, first,
					    outcomes->tokens, at))
			return true;
		first = at;
	}
	return false;
}

/* Is the outcome the same whichever chain is faster? */
static bool is_confluent(const struct program *program, const struct runs *runs)
{
	size_t found[OPS_MAX];
	if (program->is_wild || runs->strict.is_contested)
		return false;
	outcomes_find(&runs->outcomes, found);
	for (int i = 0; i < program->count; i++) {
		const struct op *const op = &program->ops[i];
		if (op_is_list(op) && runs->strict.done_at[i] >= 0 &&
		    list_is_contested(op, &runs->outcomes, found))
			return false;
	}
	return true;
}

/* Where in the trace the operation begins for the n-th time, from `at` on, and
 * in which turn. */
static bool event_find(const struct trace *trace, int i, size_t *at, int *turn)
{
	while (*at < trace->count) {
		if (trace->tokens[*at] == i)
			return true;
		*turn += trace->tokens[*at] < 0;
		*at = trace_next_event(trace->tokens, *at);
	}
	return false;
}

/* Do both traces have the same events of one operation? */
static bool events_are_same(const struct trace *a, const struct trace *b, int i)
{
	size_t a_at = 0, b_at = 0;
	int a_turn = 0, b_turn = 0;
	for (;;) {
		const bool is_there = event_find(a, i, &a_at, &a_turn);
		if (event_find(b, i, &b_at, &b_turn) != is_there)
			return false;
		if (!is_there)
			return true;
		if (a_turn != b_turn ||
		    !value_is_same(a->tokens, a_at + 1, b->tokens, b_at + 1))
			return false;
		a_at = trace_next_event(a->tokens, a_at);
		b_at = trace_next_event(b->tokens, b_at);
	}
}

/* Rules 3 and 4 of the top, for the handler `i`. */
static bool is_in_order(const struct program *program,
			const struct record *record, int i)
{
	const struct op *const op = &program->ops[i];
	const int began = record->began_at[i];
	if (began < 0 || !op_has_body(op))
		return true;
	if (op->where >= 0 && record->began_at[op->where] >= began)
		return false;
	if (op->of < 0 || !op_is_handler(op))
		return true;
	if (op_is_handler(&program->ops[op->of]) &&
	    record->began_at[op->of] >= began)
		return false;
	for (int k = 0; k < program->count; k++) {
		if (op_is_handler(&program->ops[k]) &&
		    program->ops[k].of == op->of &&
		    record->done_at[k] < record->done_at[i] &&
		    record->began_at[k] > began)
			return false;
	}
	return true;
}

/* What is wrong with a program, or NULL. */
static const char *runs_look(const struct program *program,
			     const struct runs *runs, bool *is_compared)
{
	if (!trace_is_same(&runs->events, &runs->strict.events))
		return "ECMAScript's order: the events are others";
	if (!outcomes_are_same(program, &runs->outcomes,
			       &runs->strict.outcomes))
		return "ECMAScript's order: the outcomes are others";
	for (int i = 0; i < program->count; i++) {
		if (!is_in_order(program, &runs->strict, i) ||
		    !is_in_order(program, &runs->usual, i))
			return "a handler runs too early";
	}
	*is_compared = is_confluent(program, runs);
	if (!*is_compared)
		return NULL;
	for (int i = 0; i < program->count; i++) {
		if (!events_are_same(&runs->strict.events, &runs->usual.events,
				     i))
			return "usual order: the events are others";
	}
	if (!outcomes_are_same(program, &runs->outcomes, &runs->usual.outcomes))
		return "usual order: the outcomes are others";
	return NULL;
}

/* ------------------------------------------------------------------- Batches */

static const char *script; /* see the top */
static bool is_usual;

static const char *batch_run_avow(const struct program *programs, size_t count,
				  struct runs *runs)
{
	run_begin(!is_usual);
	for (size_t k = 0; k < count; k++)
		run_program(&programs[k], &runs[k].strict);
	const char *const wrong = run_end();
	run_begin(false);
	for (size_t k = 0; k < count; k++)
		run_program(&programs[k], &runs[k].usual);
	const char *const wrong_too = run_end();
	return wrong ? wrong : wrong_too;
}

/* Run them in both; what went wrong with the batch as a whole. */
static const char *batch_run(const struct program *programs, size_t count,
			     struct runs *runs)
{
	engine_send(programs, count);
	const char *const wrong = batch_run_avow(programs, count, runs);
	int16_t *at = engine_receive();
	for (size_t k = 0; k < count; k++) {
		at = engine_trace(at, &runs[k].events);
		at = engine_trace(at, &runs[k].outcomes);
	}
	return wrong;
}

/* ------------------------------------------------------------------ One program */

/* Does avow crash?  Tried in a process of its own. */
static bool crashes(const struct program *program, struct runs *runs,
		    bool is_quiet)
{
	fflush(NULL);
	const pid_t pid = fork();
	if (!pid) {
		if (is_quiet && !freopen("/dev/null", "w", stderr))
			_exit(0);
		alarm(10);
		(void)batch_run_avow(program, 1, runs);
		_exit(0);
	}
	int status;
	waitpid(pid, &status, 0);
	return !WIFEXITED(status) || WEXITSTATUS(status);
}

static const char *verdict(const struct program *program, void *arg)
{
	struct runs *const runs = arg;
	bool is_compared;
	if (crashes(program, runs, true))
		return "avow crashes, or hangs";
	const char *const wrong = batch_run(program, 1, runs);
	return wrong ? wrong : runs_look(program, runs, &is_compared);
}

/* ------------------------------------------------------------------ Reporting */

static void print_event(const struct trace *trace, size_t at, FILE *out)
{
	if (at >= trace->count)
		return;
	if (trace->tokens[at] < 0) {
		fputs("(turn)", out);
		return;
	}
	fprintf(out, "%d: ", trace->tokens[at]);
	trace_print_value(trace->tokens, at + 1, out);
}

static const char *event_text(const struct trace *trace, size_t at,
			      char text[256])
{
	FILE *const out = fmemopen(text, 256, "w");
	memset(text, 0, 256);
	if (out) {
		print_event(trace, at, out);
		fclose(out);
	}
	return text;
}

/* Two traces side by side; what differs is marked. */
static void print_diff(const char *title, const struct trace *a,
		       const struct trace *b)
{
	char left[256], right[256];
	size_t i = 0, k = 0;
	printf("\n%s\n  %-28s %s\n", title, "JavaScript", "avow");
	while (i < a->count || k < b->count) {
		event_text(a, i, left);
		event_text(b, k, right);
		printf("%c %-28s %s\n", strcmp(left, right) ? '*' : ' ', left,
		       right);
		if (i < a->count)
			i = trace_next_event(a->tokens, i);
		if (k < b->count)
			k = trace_next_event(b->tokens, k);
	}
}

static void print_failure(struct program *program, struct runs *runs,
			  uint64_t seed, uint64_t number)
{
	struct program small = *program;
	printf("\nprogram %llu of seed %llu fails; shrinking it\n",
	       (unsigned long long)number, (unsigned long long)seed);
	fflush(stdout);
	shrink(&small, verdict, runs);
	const char *const wrong = verdict(&small, runs);
	printf("\n%s\n\n", wrong ? wrong : "it does not fail alone");
	program_print(&small, stdout);
	if (crashes(&small, runs, false))
		return;
	const struct record *const record = wrong && !strncmp(wrong, "usual", 5)
						    ? &runs->usual
						    : &runs->strict;
	print_diff("events", &runs->events, &record->events);
	print_diff("outcomes (here of held promises alone)", &runs->outcomes,
		   &record->outcomes);
	printf("\nagain: make oracle SEED=%llu FIRST_PROGRAM=%llu PROGRAMS=1\n",
	       (unsigned long long)seed, (unsigned long long)number);
	fflush(stdout);
}

/* ---------------------------------------------------------------- The whole run */

/* Shared with the process that watches over the one that runs. */
struct tally {
	uint64_t passed, failed, at, compared;
	uint64_t ops, events, held, empty, nested, twice, late;
	uint64_t kinds[KINDS], results[RESULTS];
};

static void tally_program(struct tally *tally, const struct program *program,
			  const struct runs *runs)
{
	const struct record *const record = &runs->strict;
	tally->events += record->events.count;
	tally->twice += record->settled_twice;
	tally->late += record->attached_late;
	for (int i = 0; i < program->count; i++) {
		const struct op *const op = &program->ops[i];
		if (record->done_at[i] < 0 && record->began_at[i] < 0)
			continue;
		tally->ops++;
		tally->kinds[op->kind]++;
		tally->held += (uint64_t)op->is_held;
		tally->results[op->result]++;
		if (!op_is_list(op))
			continue;
		tally->empty += !op->count;
		for (int n = 0; n < op->count; n++) {
			if (op_is_list(&program->ops[op->list[n]])) {
				tally->nested++;
				break;
			}
		}
	}
}

static void tally_print(const struct tally *tally)
{
	static const char *const names[RESULTS] = { "none",    "int",
						    "same",    "error",
						    "promise", "thenable" };
	const double all = tally->ops ? (double)tally->ops / 100 : 1;
	printf("operations carried out: %llu, of these in percent",
	       (unsigned long long)tally->ops);
	for (int k = 1; k < KINDS; k++)
		printf("%s %s %.1f", k > 1 ? "," : ":", kind_names[k],
		       (double)tally->kinds[k] / all);
	printf("\nresults in percent of operations");
	for (int k = 1; k < RESULTS; k++)
		printf("%s %s %.1f", k > 1 ? "," : ":", names[k],
		       (double)tally->results[k] / all);
	printf("\nempty lists %llu, nested combinators %llu, settled again "
	       "%llu, attached when settled %llu\n",
	       (unsigned long long)tally->empty,
	       (unsigned long long)tally->nested,
	       (unsigned long long)tally->twice,
	       (unsigned long long)tally->late);
}

static void batch_look(struct program *programs, size_t count,
		       struct runs *runs, const char *wrong,
		       struct tally *tally, uint64_t seed, uint64_t first)
{
	struct runs *const own = wrong ? runs_new(1) : NULL;
	for (size_t k = 0; k < count; k++) {
		bool is_compared = false;
		const char *bad =
			runs_look(&programs[k], &runs[k], &is_compared);
		if (!bad && wrong)
			bad = batch_run_avow(&programs[k], 1, own);
		tally->at = first + k;
		tally->compared += is_compared;
		tally->passed += !bad;
		tally->failed += !!bad;
		tally_program(tally, &programs[k], &runs[k]);
		if (bad) {
			print_failure(&programs[k], runs_new(1), seed,
				      first + k);
			return;
		}
	}
}

static void run_all(uint64_t seed, uint64_t first, uint64_t count,
		    struct tally *tally)
{
	static struct program programs[BATCH_MAX];
	struct runs *const runs = runs_new(BATCH_MAX);
	if (!runs)
		abort();
	for (uint64_t at = 0; at < count && !tally->failed;) {
		const size_t n = count - at < BATCH_MAX ? count - at
							: BATCH_MAX;
		for (size_t k = 0; k < n; k++)
			program_make(&programs[k], seed, first + at + k);
		tally->at = first + at;
		const char *const wrong = batch_run(programs, n, runs);
		batch_look(programs, n, runs, wrong, tally, seed, first + at);
		at += n;
	}
}

/* avow has crashed in a batch that began at `tally->at`. */
static void find_crash(uint64_t seed, struct tally *tally)
{
	static struct program program;
	struct runs *const runs = runs_new(1);
	engine_start(script);
	for (uint64_t k = tally->at; k < tally->at + BATCH_MAX; k++) {
		program_make(&program, seed, k);
		if (crashes(&program, runs, true)) {
			print_failure(&program, runs, seed, k);
			break;
		}
	}
	tally->failed++;
	engine_stop();
}

int main(int argc, char **argv)
{
	struct timespec begin, end;
	if (argc < 4) {
		fputs("oracle SCRIPT SEED PROGRAMS [FIRST [usual]]\n", stderr);
		return 2;
	}
	const uint64_t seed = strtoull(argv[2], NULL, 0);
	const uint64_t count = strtoull(argv[3], NULL, 0);
	const uint64_t first = argc > 4 ? strtoull(argv[4], NULL, 0) : 0;
	is_usual = argc > 5 && !strcmp(argv[5], "usual");
	struct tally *const tally = mmap(NULL, sizeof(*tally),
					 PROT_READ | PROT_WRITE,
					 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	script = argv[1];
	signal(SIGPIPE, SIG_IGN);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	printf("oracle: seed %llu\n", (unsigned long long)seed);
	fflush(stdout);
	const pid_t pid = fork();
	if (!pid) {
		engine_start(script);
		run_all(seed, first, count, tally);
		engine_stop();
		fflush(stdout);
		_exit(0);
	}
	int status;
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
		return 2;
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		find_crash(seed, tally);
	clock_gettime(CLOCK_MONOTONIC, &end);
	const double seconds = (double)(end.tv_sec - begin.tv_sec) +
			       (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
	tally_print(tally);
	printf("%llu programs in %.1f s (%.0f per second), the usual order "
	       "compared for %llu\n",
	       (unsigned long long)(tally->passed + tally->failed), seconds,
	       (double)(tally->passed + tally->failed) / seconds,
	       (unsigned long long)tally->compared);
	printf("%llu passed, %llu failed\n", (unsigned long long)tally->passed,
	       (unsigned long long)tally->failed);
	return tally->failed || tally->passed != count;
}
