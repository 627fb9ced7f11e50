/*
 * SPDX-License-Identifier: MIT
 *
 * report.c - the tables on stdout and the raw samples as JSON.  Nothing is
 * judged here but by arithmetic: the aims are printed beside what was seen.
 */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------- Samples */

static int sample_order(const void *a, const void *b)
{
	const double x = *(const double *)a;
	const double y = *(const double *)b;

	return (x > y) - (x < y);
}

void samples_sum_up(struct samples *s)
{
	double sorted[SAMPLES_MAX];
	const size_t n = s->count;

	if (n == 0)
		return;
	memcpy(sorted, s->ns, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), sample_order);
	s->best = sorted[0];
	s->median = (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
	s->quarter = sorted[(n - 1) / 4];
	s->three_quarters = sorted[(n - 1) - (n - 1) / 4];
}

/* Half of the samples lie within so many per cent of each other. */
static double samples_spread(const struct samples *s)
{
	return 100 * (s->three_quarters - s->quarter) / s->median;
}

/* ---------------------------------------------------------------- Machine */

void report_machine(const struct results *r)
{
	printf("avow %s, libev %d.%d\n", AVOW_VERSION, ev_version_major(),
	       ev_version_minor());
	printf("machine   %s\n", machine_cpu());
	printf("system    %s, malloc of %s\n", machine_system(),
	       machine_malloc());
	printf("compiler  %s\n", machine_compiler());
	printf("flags     %s\n", machine_flags());
	if (r->cpu >= 0)
		printf("pinned    to core %d\n", r->cpu);
	else
		puts("pinned    no: not possible here");
	printf("\n"
	       "Nanoseconds of processor time per step, median and best of the "
	       "samples.  +-%% is\n"
	       "the width of the middle half of warm.  warm, aged and holes keep all spare "
	       "memory\n"
	       "(avow_loop_spare_max raised) and have touched it before; aged "
	       "has freed %zu\n"
	       "promises in random order, holes has done so and still has half "
	       "of them;\n"
	       "default is the loop as it comes: what a burst took goes back, "
	       "and the next one\n"
	       "pays for fresh pages.  fifo, feed: bare callbacks in a queue, "
	       "one ev_feed_event()\n"
	       "a step; bare: the call, timer or idle watcher alone.\n",
	       r->aged_count);
}

/* -------------------------------------------------------------- Its table */

void report_row_head(void)
{
	printf("\n%-10s %9s %13s %4s %13s %13s %13s | %6s %6s %6s\n", "workload",
	       "steps", "warm", "+-%", "aged", "holes", "default", "fifo",
	       "feed", "bare");
}

static void report_cell(const struct samples *s)
{
	printf(" %6.1f %6.1f", s->median, s->best);
}

static void report_floor(const struct samples *s)
{
	if (s->count)
		printf(" %6.1f", s->median);
	else
		printf(" %6s", "-");
}

void report_row(struct row *row)
{
	printf("%-10s %9zu", row->workload->name, row->steps);
	report_cell(&row->series[SERIES_WARM]);
	printf(" %4.0f", samples_spread(&row->series[SERIES_WARM]));
	report_cell(&row->series[SERIES_AGED]);
	report_cell(&row->series[SERIES_HOLES]);
	report_cell(&row->series[SERIES_DEFAULT]);
	printf(" |");
	report_floor(&row->series[SERIES_FIFO]);
	report_floor(&row->series[SERIES_FEED]);
	report_floor(&row->series[SERIES_BARE]);
	putchar('\n');
	fflush(stdout);
}

/* The row of a million steps, or else the longest below it. */
static const struct row *row_of(const struct results *r,
				const struct workload *w)
{
	const struct row *row = NULL;
	size_t i;

	for (i = 0; i < r->row_count; i++) {
		if (r->rows[i].workload == w &&
		    (r->rows[i].steps <= 1000000 || !row))
			row = &r->rows[i];
	}
	return row;
}

static void report_above_bare(const struct row *row)
{
	const struct samples *warm = &row->series[SERIES_WARM];
	const struct samples *bare = &row->series[SERIES_BARE];

	printf("%-10s %9zu  above the bare one by %.1f ns and %.0f %% (median),"
	       " %.1f ns and %.0f %% (best)\n", row->workload->name,
	       row->steps, warm->median - bare->median,
	       100 * (warm->median / bare->median - 1),
	       warm->best - bare->best, 100 * (warm->best / bare->best - 1));
}

static void report_aim(const struct row *row)
{
	const struct samples *warm = &row->series[SERIES_WARM];
	const struct samples *fifo = &row->series[SERIES_FIFO];

	printf("%-10s %9zu  best %.1f ns, aim %.0f; aged %.1f, aim 20; %.1f "
	       "times the fifo, median by median\n", row->workload->name,
	       row->steps, warm->best, row->workload->aim_ns,
	       row->series[SERIES_AGED].best, warm->median / fifo->median);
}

void report_summary(const struct results *r)
{
	const struct row *row;
	size_t i;

	puts("\nThe aims hold for one class of machine (README.md) and gate "
	     "nothing.");
	for (i = 0; i < workload_count; i++) {
		row = row_of(r, &workloads[i]);
		if (row && workloads[i].bare)
			report_above_bare(row);
		else if (row && workloads[i].aim_ns > 0)
			report_aim(row);
	}
}

void report_memory(const struct results *r)
{
	const struct memory_facts *f = &r->facts;
	size_t i;

	printf("\n%-10s %9s %10s %12s %14s %15s\n", "workload", "steps",
	       "peak MB", "bytes/step", "mallocs/step", "when warm");
	for (i = 0; i < r->memory_count; i++) {
		const struct memory_row *m = &r->memory[i];

		printf("%-10s %9zu %10.2f %12.2f %14.6f %15.6f\n",
		       m->workload->name, m->steps, m->peak_mb,
		       m->bytes_per_step, m->mallocs_first, m->mallocs_steady);
	}
	printf("\n"
	       "A promise has %zu bytes; %zu pending ones hold %.2f bytes of "
	       "slabs each.\n"
	       "Resident, before, at and after a burst of %zu promises: %.1f, "
	       "%.1f, %.1f MB;\n"
	       "%.2f MB of slabs stay with the loop.  After the same in a "
	       "program that has freed\n"
	       "a large block before, %.1f MB stay resident.\n"
	       "Most that the whole run had resident: %.0f MB.  It took %.0f "
	       "seconds.\n",
	       f->promise_size, f->then_count, f->bytes_per_then,
	       f->burst_count, f->rss_before_mb, f->rss_peak_mb,
	       f->rss_after_mb, f->slabs_after_mb, f->rss_stays_mb,
	       machine_rss_peak_mb(),
	       r->seconds);
}

/* ------------------------------------------------------------------- JSON */

static void json_text(FILE *file, const char *key, const char *text)
{
	fprintf(file, "  \"%s\": \"", key);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', file);
		fputc((unsigned char)*text < ' ' ? ' ' : *text, file);
	}
	fputs("\",\n", file);
}

static void json_samples(FILE *file, const struct samples *s, const char *name)
{
	size_t i;

	fprintf(file,
		"      \"%s\": {\"median\": %.4f, \"best\": %.4f, "
		"\"quartiles\": [%.4f, %.4f],\n"
		"        \"laps\": %zu, \"samples\": [", name, s->median,
		s->best, s->quarter, s->three_quarters, s->laps);
	for (i = 0; i < s->count; i++)
		fprintf(file, "%s%.4f", i ? ", " : "", s->ns[i]);
	fputs("]}", file);
}

static void json_row(FILE *file, const struct row *row)
{
	bool is_first = true;
	size_t s;

	fprintf(file, "    {\"workload\": \"%s\", \"steps\": %zu, \"ns\": {\n",
		row->workload->name, row->steps);
	for (s = 0; s < SERIES_COUNT; s++) {
		if (!row->series[s].count)
			continue;
		fputs(is_first ? "" : ",\n", file);
		json_samples(file, &row->series[s], series_name[s]);
		is_first = false;
	}
	fputs("}}", file);
}

static void json_memory(FILE *file, const struct results *r)
{
	const struct memory_facts *f = &r->facts;
	size_t i;

	fputs("  \"memory\": [\n", file);
	for (i = 0; i < r->memory_count; i++) {
		const struct memory_row *m = &r->memory[i];

		fprintf(file,
			"    {\"workload\": \"%s\", \"steps\": %zu, "
			"\"peak_mb\": %.4f, \"bytes_per_step\": %.4f, "
			"\"mallocs_per_step\": %.8f, "
			"\"mallocs_per_step_warm\": %.8f}%s\n",
			m->workload->name, m->steps, m->peak_mb,
			m->bytes_per_step, m->mallocs_first,
			m->mallocs_steady, i + 1 < r->memory_count ? "," : "");
	}
	fprintf(file,
		"  ],\n"
		"  \"promise_bytes\": %zu,\n"
		"  \"bytes_per_pending_then\": %.4f,\n"
		"  \"burst\": {\"promises\": %zu, \"rss_before_mb\": %.3f, "
		"\"rss_peak_mb\": %.3f, \"rss_after_mb\": %.3f, "
		"\"slabs_after_mb\": %.3f, \"rss_stays_mb\": %.3f}\n",
		f->promise_size, f->bytes_per_then, f->burst_count,
		f->rss_before_mb, f->rss_peak_mb, f->rss_after_mb,
		f->slabs_after_mb, f->rss_stays_mb);
}

bool report_json(const struct results *r, const char *path)
{
	FILE *file = fopen(path, "w");
	size_t i;

	if (!file)
		return false;
	fputs("{\n", file);
	json_text(file, "avow", AVOW_VERSION);
	json_text(file, "machine", machine_cpu());
	json_text(file, "system", machine_system());
	json_text(file, "malloc", machine_malloc());
	json_text(file, "compiler", machine_compiler());
	json_text(file, "flags", machine_flags());
	fprintf(file, "  \"libev\": \"%d.%d\",\n", ev_version_major(),
		ev_version_minor());
	fprintf(file, "  \"core\": %d,\n  \"aged\": %zu,\n"
		"  \"seconds\": %.1f,\n", r->cpu, r->aged_count, r->seconds);
	fputs("  \"rows\": [\n", file);
	for (i = 0; i < r->row_count; i++) {
		json_row(file, &r->rows[i]);
		fputs(i + 1 < r->row_count ? ",\n" : "\n", file);
	}
	fputs("  ],\n", file);
	json_memory(file, r);
	fputs("}\n", file);
	if (fclose(file) != 0)
		return false;
	printf("Raw samples: %s\n", path);
	return true;
}
