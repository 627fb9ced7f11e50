/*
 * SPDX-License-Identifier: MIT
 *
 * machine.c - the clock, the core we are pinned to, and the facts about the
 * machine, compiler and memory without which a figure means nothing.  What a
 * system does not tell is printed as unknown, never guessed.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE	/* sched_setaffinity */
#endif
#include "bench.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#ifdef __GLIBC__
#include <gnu/libc-version.h>
#endif

/* The Makefile may say what everything was compiled with. */
#ifndef BENCH_FLAGS
#define BENCH_FLAGS "not passed to the bench"
#endif

double machine_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Processor time: what other programs take meanwhile does not count. */
double machine_busy_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* The last core we may use: interrupts tend to be served by the first. */
int machine_pin(void)
{
#ifdef __linux__
	cpu_set_t allowed, one;
	size_t cpu;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
		return -1;
	for (cpu = CPU_SETSIZE; cpu-- > 0;) {
		if (!CPU_ISSET(cpu, &allowed))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		return sched_setaffinity(0, sizeof(one), &one) ? -1 :
								  (int)cpu;
	}
#endif
	return -1;
}

/* The number after `key` in a file of /proc, in MB, or -1. */
static double machine_proc_mb(const char *path, const char *key)
{
	FILE *file = fopen(path, "r");
	double mb = -1;
	char line[256];

	if (!file)
		return -1;
	while (fgets(line, sizeof(line), file)) {
		if (strncmp(line, key, strlen(key)) == 0) {
			mb = strtod(line + strlen(key), NULL) / 1024;
			break;
		}
	}
	fclose(file);
	return mb;
}

double machine_rss_mb(void)
{
	return machine_proc_mb("/proc/self/status", "VmRSS:");
}

double machine_rss_peak_mb(void)
{
	return machine_proc_mb("/proc/self/status", "VmHWM:");
}

double machine_available_mb(void)
{
	return machine_proc_mb("/proc/meminfo", "MemAvailable:");
}

const char *machine_cpu(void)
{
	static char name[128];
	FILE *file = fopen("/proc/cpuinfo", "r");
	char line[256];
	const char *at;

	snprintf(name, sizeof(name), "unknown");
	if (!file)
		return name;
	while (fgets(line, sizeof(line), file)) {
		at = strncmp(line, "model name", 10) ? NULL : strchr(line, ':');
		if (at) {
			line[strcspn(line, "\n")] = '\0';
			snprintf(name, sizeof(name), "%.120s", at + 2);
			break;
		}
	}
	fclose(file);
	return name;
}

const char *machine_system(void)
{
	static char text[256];
	struct utsname u;

	if (uname(&u) != 0)
		return "unknown";
	snprintf(text, sizeof(text), "%.60s %.100s %.60s", u.sysname,
		 u.release, u.machine);
	return text;
}

const char *machine_compiler(void)
{
#if defined(__clang__)
	return "clang " __clang_version__;
#elif defined(__GNUC__)
	return "gcc " __VERSION__;
#else
	return "unknown";
#endif
}

const char *machine_flags(void)
{
	return BENCH_FLAGS;
}

/* Whose malloc, and whether the environment has tuned it. */
const char *machine_malloc(void)
{
	static char text[256];
	const char *tunables = getenv("GLIBC_TUNABLES");
	const char *preload = getenv("LD_PRELOAD");

#ifdef __GLIBC__
	snprintf(text, sizeof(text), "glibc %s%s%.80s%s%.80s",
		 gnu_get_libc_version(), tunables ? ", tunables " : "",
		 tunables ? tunables : "", preload ? ", preload " : "",
		 preload ? preload : "");
#else
	snprintf(text, sizeof(text), "libc's%s%.80s%s%.80s",
		 tunables ? ", tunables " : "", tunables ? tunables : "",
		 preload ? ", preload " : "", preload ? preload : "");
#endif
	return text;
}
