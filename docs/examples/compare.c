/*
 * SPDX-License-Identifier: MIT
 *
 * compare.c - runs the ten steps of nested.c and those of chain.c, first with
 * nothing failing and then with each step failing in turn, compares what they
 * write, and measures the two source files.
 */
#include "demo.h"

#include "buy.h"
#include "measure.h"

#include <ev.h>
#include <stdlib.h>
#include <string.h>

#define STEP_COUNT 10

typedef void buy_fn(struct purchase *buy, int token);

int note(const struct purchase *buy, const char *what, int id)
{
	fprintf(buy->out, "%s %d\n", what, id);
	return id;
}

/* What one purchase writes, to be freed; or NULL. */
static char *transcript(avow_loop *loop, buy_fn *buy, int refuses)
{
	char *text = NULL;
	size_t size = 0;
	struct ev_loop *ev = avow_loop_ev(loop);
	struct shop shop = { ev, refuses };
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	buy(&(struct purchase){ loop, &shop, out }, 42);
	ev_run(ev, 0);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

/* Print on one line, or two, what was written in several. */
static void print_transcript(const char *text)
{
	int count = 0;

	printf("    ");
	for (const char *s = text; *s; s++) {
		if (*s != '\n')
			putchar(*s);
		else if (s[1] != '\0')
			printf(++count == STEP_COUNT / 2 ? ",\n    " : ", ");
	}
	putchar('\n');
}

static bool compare_once(avow_loop *loop, int refuses)
{
	char *nested = transcript(loop, buy_nested, refuses);
	char *chain = transcript(loop, buy_chain, refuses);
	bool same = nested && chain && strcmp(nested, chain) == 0;

	if (same && refuses == 0) {
		puts("  None failing:");
		print_transcript(chain);
	} else if (same && refuses == STEP_COUNT / 2) {
		printf("  Step %d of %d failing:\n", refuses, STEP_COUNT);
		print_transcript(chain);
	}
	if (!same)
		printf("  DIFFERENT, step %d failing: \"%s\" \"%s\"\n", refuses,
		       nested ? nested : "", chain ? chain : "");
	free(nested);
	free(chain);
	return same;
}

/* The sources lie beside this one. */
static bool print_measure(const char *name)
{
	static const char here[] = __FILE__;
	const char *slash = strrchr(here, '/');
	int folder_size = slash ? (int)(slash + 1 - here) : 0;
	char path[256];
	struct measure m;

	snprintf(path, sizeof(path), "%.*s%s", folder_size, here, name);
	if (!measure_source(path, &m)) {
		perror(path);
		return false;
	}
	printf("  %-10s %5zu %5zu\n", name, m.line_count, m.depth);
	return true;
}

bool compare_demo(avow_loop *loop)
{
	int same_count = 0;

	puts("  Each step asks with the id that the one before gave, so none can"
	     " start early.\n");
	for (int refuses = 0; refuses <= STEP_COUNT; refuses++)
		same_count += compare_once(loop, refuses);
	printf("\n  Nested and chain wrote the same in %d of %d runs"
	       " (none failing, then each).\n\n",
	       same_count, STEP_COUNT + 1);

	puts("  lines: without comments and blank lines\n"
	     "  depth: longest row of functions each naming the next\n");
	printf("  %-10s %5s %5s\n", "", "lines", "depth");
	bool ok = print_measure("nested.c");

	ok &= print_measure("chain.c");
	return ok && same_count == STEP_COUNT + 1;
}
