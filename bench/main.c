/*
 * SPDX-License-Identifier: MIT
 *
 * main.c - the program avow-bench: the table of workloads, the options, and
 * the ways to run.
 *
 * Built from every .c file here with libavow.a -lev -lm -lpthread; BENCH_FLAGS,
 * a string, tells what the library was compiled with.
 */
#include "bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define STEPS_ANY 100000000

const struct workload workloads[] = {
	{ "ready", "then on a settled promise, one long chain",
	  ready_chain, fifo_chain, feed_chain, NULL, STEPS_ANY, false, 10 },
	{ "pending", "then on a pending promise, one long chain",
	  pending_chain, fifo_chain, feed_chain, NULL, STEPS_ANY, false, 10 },
	{ "short", "pending chains of ten, one after the other",
	  short_chains, fifo_short, feed_short, NULL, STEPS_ANY, false, 9 },
	{ "await", "a loop that awaits a settled promise in each lap",
	  await_loop, fifo_loop, feed_loop, NULL, STEPS_ANY, false, 12 },
	{ "returning", "a chain of handlers that return a settled promise",
	  returning_chain, fifo_chain, feed_chain, NULL, STEPS_ANY, false,
	  15 },
	{ "recursive", "a loop whose handler returns the rest of the loop",
	  recursive_loop, fifo_loop, feed_loop, NULL, STEPS_ANY, false, 13 },
	{ "reactions", "many reactions on one promise",
	  many_reactions, fifo_many, feed_many, NULL, STEPS_ANY, false, 10 },
	{ "rejection", "a rejection that passes a long chain of then",
	  rejected_chain, fifo_chain, feed_chain, NULL, STEPS_ANY, false, 0 },
	{ "call", "promisified call that calls back at once, and a then",
	  call_promisified, call_fifo, call_feed, call_bare, 1000000, false,
	  0 },
	{ "timer", "promisified call through a libev timer, and a then",
	  timer_promisified, timer_fifo, timer_feed, timer_bare, 100000, true,
	  0 },
	{ "turn", "a promise and a then in every turn of the loop",
	  turn_promised, turn_fifo, turn_feed, turn_bare, 100000, false, 0 },
	{ "all", "avow_all over 10,000 settled promises at a time",
	  all_of_settled, fifo_many, feed_many, NULL, STEPS_ANY, false, 15 },
	{ "allwait", "the same, settled one by one after it",
	  all_of_pending, fifo_many, feed_many, NULL, STEPS_ANY, false, 0 },
	{ "map1", "avow_map, one at a time",
	  map_by_1, fifo_loop, feed_loop, NULL, STEPS_ANY, false, 60 },
	{ "map10", "avow_map, ten at a time",
	  map_by_10, fifo_loop, feed_loop, NULL, STEPS_ANY, false, 60 },
	{ "map1000", "avow_map, a thousand at a time",
	  map_by_1000, fifo_loop, feed_loop, NULL, STEPS_ANY, false, 60 },
	{ "each10", "avow_each, ten at a time: no list of results",
	  each_by_10, fifo_loop, feed_loop, NULL, STEPS_ANY, false, 60 },
	{ "race", "avow_race against a promise that stays",
	  race_against_one, fifo_loop, feed_loop, NULL, STEPS_ANY, false, 0 },
	{ "delay", "avow_delay and a then, all at once",
	  delays_at_once, timer_fifo, timer_feed, timer_bare, 100000, true,
	  0 },
	{ "cancel", "a chain, attached and cancelled from its end",
	  cancel_chain, fifo_chain, feed_chain, NULL, STEPS_ANY, false, 0 },
};
const size_t workload_count = sizeof(workloads) / sizeof(workloads[0]);

struct options {
	const char *only;	/* comma-separated, or NULL */
	size_t sizes[16];
	size_t size_count;
	struct sampling sampling;
	size_t aged_count;
	size_t burst_count;
	const char *json;
	bool is_facts;		/* only the facts, one on a line */
	const char *count;	/* one workload, untimed, for a profiler */
	const char *count_series;
	size_t laps;
};

/* ---------------------------------------------------------- One workload */

/* Four loops and two floors, and two promises a step at the most. */
static bool fits_in_memory(const struct workload *w, size_t steps)
{
	const double need_mb = (double)steps * 700 / 1048576;
	const double have_mb = machine_available_mb();

	if (have_mb < 0 || need_mb < have_mb)
		return true;
	printf("%-10s %9zu  skipped: needs about %.0f MB of memory, %.0f MB "
	       "are free\n", w->name, steps, need_mb, have_mb);
	return false;
}

/* Whole short chains only. */
static size_t steps_round(size_t steps)
{
	return steps < SHORT_STEPS ? SHORT_STEPS :
				     steps / SHORT_STEPS * SHORT_STEPS;
}

static void workload_run(const struct workload *w, const struct options *o,
			 struct results *r)
{
	struct bench contexts[SERIES_COUNT];
	struct row *row;
	size_t i, s;

	for (s = 0; s < SERIES_COUNT; s++)
		bench_open(&contexts[s], (enum series)s, o->aged_count);
	for (i = 0; i < o->size_count; i++) {
		if (o->sizes[i] > w->steps_max ||
		    !fits_in_memory(w, o->sizes[i]))
			continue;
		if (r->row_count == ROWS_MAX)
			bench_fail("more than %d rows", ROWS_MAX);
		row = &r->rows[r->row_count++];
		row->workload = w;
		row->steps = o->sizes[i];
		row_run(row, contexts, &o->sampling);
		report_row(row);
	}
	for (s = 0; s < SERIES_COUNT; s++)
		bench_close(&contexts[s]);
}

static bool is_chosen(const struct workload *w, const char *only)
{
	const size_t length = strlen(w->name);
	const char *at = only;

	while (at) {
		if (strncmp(at, w->name, length) == 0 &&
		    (at[length] == ',' || at[length] == '\0'))
			return true;
		at = strchr(at, ',');
		at = at ? at + 1 : NULL;
	}
	return !only;
}

static void memory_rows(const struct options *o, struct results *r)
{
	size_t i, steps;

	memory_meter();
	for (i = 0; i < workload_count; i++) {
		if (!is_chosen(&workloads[i], o->only))
			continue;
		steps = o->burst_count / 10;
		if (steps > workloads[i].steps_max)
			steps = workloads[i].steps_max;
		memory_measure(&workloads[i], steps_round(steps),
			       &r->memory[r->memory_count++]);
	}
}

static void memory_burst(const struct options *o, struct results *r)
{
	memory_facts(o->burst_count, &r->facts);
}

/*
 * In a process of its own: counting replaces the library's allocator, and a
 * burst shows what it leaves behind only where nothing was left before.
 */
static void in_child(void (*run)(const struct options *o, struct results *r),
		     const struct options *o, struct results *r)
{
	FILE *const file = tmpfile();
	int status = -1;
	pid_t child;

	fflush(stdout);
	child = file ? fork() : -1;
	if (child < 0)
		bench_fail("no child process: %s", strerror(errno));
	if (child == 0) {
		run(o, r);
		if (fwrite(r, sizeof(*r), 1, file) != 1 || fflush(file) != 0)
			bench_fail("cannot write: %s", strerror(errno));
		_exit(0);
	}
	if (waitpid(child, &status, 0) != child || status != 0)
		bench_fail("the memory was not measured");
	rewind(file);
	if (fread(r, sizeof(*r), 1, file) != 1)
		bench_fail("the memory was not told");
	fclose(file);
}

static void memory_run(const struct options *o, struct results *r)
{
	in_child(memory_burst, o, r);
	in_child(memory_rows, o, r);
}

/* ------------------------------------------------------ Other ways to run */

static const struct workload *workload_find(const char *name)
{
	size_t i;

	for (i = 0; i < workload_count; i++) {
		if (strcmp(workloads[i].name, name) == 0)
			return &workloads[i];
	}
	bench_fail("no workload \"%s\"; see --help", name);
}

static enum series series_find(const char *name)
{
	size_t s;

	for (s = 0; s < SERIES_COUNT; s++) {
		if (strcmp(series_name[s], name) == 0)
			return (enum series)s;
	}
	bench_fail("no series \"%s\"", name);
}

/*
 * Run one workload some laps for a program that counts instructions.  Under
 * such a program a millisecond holds few of them, so the time a drain may take
 * is lifted: what is counted is the step, not the turns of the loop.
 */
static int count_run(const struct options *o)
{
	const struct workload *w = workload_find(o->count);
	const enum series series = series_find(o->count_series);
	const size_t steps = o->sizes[0];
	struct bench b;

	if (!series_fn(w, series))
		bench_fail("%s has no %s", w->name, o->count_series);
	bench_open(&b, series, o->aged_count);
	if (b.loop)
		avow_loop_budget(b.loop, SIZE_MAX / 2, 3600);
	bench_room(&b, w, series, steps);
	bench_laps(&b, w, series, steps, o->laps);
	bench_close(&b);
	printf("%s %s: %zu laps of %zu steps\n", w->name, o->count_series,
	       o->laps, steps);
	return 0;
}

/* For bench/instructions.sh: a name and a figure on each line. */
static int facts_run(const struct options *o)
{
	static struct results r;
	size_t i;

	memory_run(o, &r);
	printf("promise_bytes %zu\n", r.facts.promise_size);
	printf("then_bytes %.3f\n", r.facts.bytes_per_then);
	printf("burst_rss_mb %.2f\n",
	       r.facts.rss_after_mb - r.facts.rss_before_mb);
	printf("burst_rss_used_heap_mb %.2f\n", r.facts.rss_stays_mb);
	for (i = 0; i < r.memory_count; i++) {
		printf("mallocs_%s %.6f\n", r.memory[i].workload->name,
		       r.memory[i].mallocs_steady);
		printf("bytes_%s %.3f\n", r.memory[i].workload->name,
		       r.memory[i].bytes_per_step);
	}
	return 0;
}

/* ---------------------------------------------------------------- Options */

static void help(void)
{
	size_t i;

	puts("avow-bench: what promises cost, beside bare callbacks\n"
	     "\n"
	     "  --only NAMES     these workloads (comma-separated)\n"
	     "  --sizes STEPS    these sizes (comma-separated)\n"
	     "  --repeats N      samples of each series, at most 64\n"
	     "  --aged N         promises that age the aged loops\n"
	     "  --burst N        promises of the memory check\n"
	     "  --json FILE      raw samples; default build/bench.json, - is\n"
	     "                   none\n"
	     "  --quick          small sizes, few repeats: does it work?\n"
	     "  --facts          only the memory, a name and a figure a line\n"
	     "  --count NAME     run one workload untimed, for a profiler, with\n"
	     "    --series NAME  warm, aged, holes, default, fifo, feed, bare\n"
	     "    --steps N      its steps\n"
	     "    --laps N       how often\n"
	     "\n"
	     "Workloads:");
	for (i = 0; i < workload_count; i++)
		printf("  %-10s %s\n", workloads[i].name, workloads[i].title);
}

static size_t number_of(const char *text, size_t least, size_t most)
{
	unsigned long long number;
	char *end;

	errno = 0;
	number = strtoull(text, &end, 10);
	if (end == text || *end || errno || number < least || number > most)
		bench_fail("\"%s\" is no number from %zu to %zu", text, least,
			   most);
	return (size_t)number;
}

static void sizes_of(struct options *o, const char *list)
{
	const size_t size_max = sizeof(o->sizes) / sizeof(o->sizes[0]);
	char text[32];
	size_t length;

	o->size_count = 0;
	for (;;) {
		length = strcspn(list, ",");
		if (length >= sizeof(text) || o->size_count == size_max)
			bench_fail("too many sizes");
		memcpy(text, list, length);
		text[length] = '\0';
		o->sizes[o->size_count++] =
			steps_round(number_of(text, 1, STEPS_ANY));
		if (!list[length])
			return;
		list += length + 1;
	}
}

static void only_check(const char *list)
{
	size_t i, found = 0, named = 1;
	const char *at;

	for (at = list; *at; at++)
		named += *at == ',';
	for (i = 0; i < workload_count; i++)
		found += is_chosen(&workloads[i], list);
	if (found != named)
		bench_fail("--only %s: not all of these exist; see --help",
			   list);
}

/* Options that stand alone; false when it is not one of them. */
static bool option_alone(struct options *o, const char *name)
{
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
		help();
		exit(0);
	}
	if (strcmp(name, "--quick") == 0) {
		sizes_of(o, "1000,100000");
		o->sampling.repeats = 3;
		o->sampling.sample_seconds = 0.001;
		o->aged_count = 100000;
		o->burst_count = 1000000;
		return true;
	}
	o->is_facts |= strcmp(name, "--facts") == 0;
	return strcmp(name, "--facts") == 0;
}

static bool option_with(struct options *o, const char *name, const char *text)
{
	if (strcmp(name, "--only") == 0) {
		only_check(text);
		o->only = text;
	} else if (strcmp(name, "--sizes") == 0 ||
		   strcmp(name, "--steps") == 0) {
		sizes_of(o, text);
	} else if (strcmp(name, "--repeats") == 0) {
		o->sampling.repeats = number_of(text, 1, SAMPLES_MAX);
	} else if (strcmp(name, "--aged") == 0) {
		o->aged_count = number_of(text, 0, STEPS_ANY);
	} else if (strcmp(name, "--burst") == 0) {
		o->burst_count = number_of(text, 100, STEPS_ANY);
	} else if (strcmp(name, "--json") == 0) {
		o->json = text;
	} else if (strcmp(name, "--count") == 0) {
		o->count = text;
	} else if (strcmp(name, "--series") == 0) {
		o->count_series = text;
	} else if (strcmp(name, "--laps") == 0) {
		o->laps = number_of(text, 1, STEPS_ANY);
	} else {
		return false;
	}
	return true;
}

static void options_read(struct options *o, int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++) {
		if (option_alone(o, argv[i]))
			continue;
		if (i + 1 == argc || !option_with(o, argv[i], argv[i + 1]))
			bench_fail("what is \"%s\"? see --help", argv[i]);
		i++;
	}
}

int main(int argc, char **argv)
{
	static struct results r;
	struct options o = {
		.sampling = { 11, 0.004, 0.8 },
		.aged_count = 1000000,
		.burst_count = 10000000,
		.json = "build/bench.json",
		.count_series = "warm",
		.laps = 1,
	};
	const double start = machine_seconds();
	size_t i;

	sizes_of(&o, "1000,10000,100000,1000000,10000000");
	options_read(&o, argc, argv);
	if (o.count)
		return count_run(&o);
	r.cpu = machine_pin();
	if (o.is_facts)
		return facts_run(&o);
	r.aged_count = o.aged_count;
	report_machine(&r);
	memory_run(&o, &r);
	report_row_head();
	for (i = 0; i < workload_count; i++) {
		if (is_chosen(&workloads[i], o.only))
			workload_run(&workloads[i], &o, &r);
	}
	r.seconds = machine_seconds() - start;
	report_summary(&r);
	report_memory(&r);
	if (strcmp(o.json, "-") != 0 && !report_json(&r, o.json))
		bench_fail("cannot write %s: %s", o.json, strerror(errno));
	return 0;
}
