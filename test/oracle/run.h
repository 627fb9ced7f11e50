/*
 * SPDX-License-Identifier: MIT
 *
 * run.h - a program run by avow, on a loop with no event loop, and its trace.
 *
 * A trace is a list of small numbers.  An event is the operation whose body
 * runs (a handler, a job, a thenable's `then`, a tick of a ladder), and the
 * value it was given; a turn begins with -1.  Outcomes are written the same way: a promise and what it
 * was settled with, in the order of their numbers; pending ones are left out.
 */
#ifndef AVOW_TEST_ORACLE_RUN_H
#define AVOW_TEST_ORACLE_RUN_H

#include "program.h"

#include <stddef.h>

/* How a value is written: the tag, and what follows it. */
enum tag {
	TAG_NONE,
	TAG_INT,       /* the number */
	TAG_ERROR,     /* the code */
	TAG_LIST,      /* the count, the items */
	TAG_AGGREGATE, /* the same, of the errors */
	TAG_CYCLE,
	TAG_DEEP /* lists in lists below VALUE_DEPTH are not written */
};
enum { VALUE_DEPTH = 4, TRACE_MAX = 1 << 16 };

struct trace {
	size_t count;
	int16_t *tokens; /* room for TRACE_MAX */
};

/* What a run leaves. */
struct record {
	struct trace events, outcomes;
	/* By operation: was it carried out as the n-th, and did its body begin
	 * at this place of the trace?  -1 for neither. */
	int done_at[OPS_MAX], began_at[OPS_MAX];
	/* Two bodies settled the pending promise, or the thenable, in the same
	 * turn: which comes first depends on the order of chains. */
	bool is_contested;
	uint64_t settled_twice, attached_late;
};

/* A loop for a batch of programs.  Ending it checks that no value and no drop
 * was lost; returns what is wrong, or NULL. */
void run_begin(bool is_ecmascript);
const char *run_end(void);
void run_program(const struct program *program, struct record *record);

/* The place behind the value, or the event, at `at`. */
size_t trace_next_value(const int16_t *tokens, size_t at);
static inline size_t trace_next_event(const int16_t *tokens, size_t at)
{
	return tokens[at] < 0 ? at + 1 : trace_next_value(tokens, at + 1);
}
void trace_print_value(const int16_t *tokens, size_t at, FILE *out);

#endif
