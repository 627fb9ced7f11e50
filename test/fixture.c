/*
 * SPDX-License-Identifier: MIT
 *
 * The fixture of the tests; fixture.h says what it offers.
 *
 * It relies on Check, libev and the public header alone.  What it keeps is
 * global: there is one test at a time in a process, and Check gives each a
 * process of its own.  Only the meter may be used by several threads at once.
 */
#include "fixture.h"

#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/wait.h>

struct fx fx;


/* ------------------------------------------------------------------ Memory
 *
 * The C library knows how large a block is, so no header of ours is needed,
 * and a block that is freed twice or overrun is left to valgrind and ASan.
 */
static struct meter {
	size_t blocks, bytes, tried, failed;
	size_t fail_at;		/* the number of the allocation that fails */
	bool fails_on;		/* and so do all after it */
	size_t bytes_max;
} meter = { .fail_at = SIZE_MAX, .bytes_max = SIZE_MAX };

#define METER_ADD(field, n) __atomic_fetch_add(&meter.field, (n), \
					       __ATOMIC_RELAXED)
#define METER_SUB(field, n) __atomic_fetch_sub(&meter.field, (n), \
					       __ATOMIC_RELAXED)
#define METER_GET(field) __atomic_load_n(&meter.field, __ATOMIC_RELAXED)

static bool meter_allows(size_t size)
{
	const size_t number = METER_ADD(tried, 1);
	const bool fails = number == meter.fail_at ||
			   (meter.fails_on && number > meter.fail_at) ||
			   (meter.bytes_max != SIZE_MAX &&
			    METER_GET(bytes) + size > meter.bytes_max);
	if (fails)
		METER_ADD(failed, 1);
	return !fails;
}

static void *meter_count(void *block)
{
	if (block) {
		METER_ADD(blocks, 1);
		METER_ADD(bytes, malloc_usable_size(block));
	}
	return block;
}

static void *meter_alloc(size_t size)
{
	return meter_allows(size) ? meter_count(malloc(size)) : NULL;
}

static void *meter_aligned(size_t alignment, size_t size)
{
	void *block = NULL;
	if (!meter_allows(size) || posix_memalign(&block, alignment, size))
		return NULL;
	return meter_count(block);
}

static void meter_free(void *block)
{
	if (!block)
		return;
	METER_SUB(blocks, 1);
	METER_SUB(bytes, malloc_usable_size(block));
	free(block);
}

size_t fx_blocks(void)
{
	return METER_GET(blocks);
}

size_t fx_bytes(void)
{
	return METER_GET(bytes);
}

size_t fx_allocations(void)
{
	return METER_GET(tried);
}

size_t fx_failures(void)
{
	return METER_GET(failed);
}

static void meter_fail(size_t n, bool fails_on)
{
	meter.fail_at = fx_allocations() + n;
	meter.fails_on = fails_on;
}

void fx_fail_once(size_t n)
{
	meter_fail(n, false);
}

void fx_fail_from(size_t n)
{
	meter_fail(n, true);
}

void fx_fail_above(size_t bytes)
{
	meter.bytes_max = bytes;
}

void fx_fail_never(void)
{
	meter.fail_at = SIZE_MAX;
	meter.fails_on = false;
	meter.bytes_max = SIZE_MAX;
}

static size_t sweep_one_mode(void (*scenario)(void *), void *arg, bool fails_on)
{
	for (size_t n = 0;; n++) {
		const size_t blocks = fx_blocks();
		const size_t failures = fx_failures();
		const int boxes = fx.boxes;
		meter_fail(n, fails_on);
		scenario(arg);
		fx_fail_never();
		ck_assert_msg(fx_blocks() == blocks,
			      "failing allocation %zu%s: %zu blocks before, "
			      "%zu after", n, fails_on ? " and all later" : "",
			      blocks, fx_blocks());
		ck_assert_msg(fx.boxes == boxes,
			      "failing allocation %zu%s: %d boxes left", n,
			      fails_on ? " and all later" : "",
			      fx.boxes - boxes);
		if (fx_failures() == failures)
			return n + 1;
	}
}

size_t fx_sweep(void (*scenario)(void *arg), void *arg)
{
	return sweep_one_mode(scenario, arg, false) +
	       sweep_one_mode(scenario, arg, true);
}


/* --------------------------------------------------------------- The loop */

struct later {
	ev_timer timer;
	avow_job_fn *job;
	void *arg;
	struct later *next;
};

static struct later *laters;	/* not yet run */
static size_t blocks_before;
static int descriptors_before;

static int open_descriptors(void)
{
	int count = 0;
	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) != -1;
	return count;
}

static void use_the_meter(void)
{
	static bool is_used;
	static const avow_allocator metered = {
		meter_alloc, meter_aligned, meter_free
	};
	if (is_used)
		return;
	is_used = true;
	avow_set_allocator(&metered);
}

void fx_setup(void)
{
	use_the_meter();
	fx_fail_never();
	(void)fx_take_log();
	(void)fx_take_reports();
	fx.boxes = 0;
	fx.ignores_late = false;
	descriptors_before = open_descriptors();

	/* What the library keeps for the process's life comes with the first
	 * loop and its first call. */
	fx.ev = ev_loop_new(EVFLAG_AUTO);
	fx.loop = avow_loop_new(fx.ev);
	ck_assert_ptr_nonnull(fx.loop);
	const avow_call call = avow_begin(fx.loop, "warm up");
	(void)avow_end(call, true, 0);
	avow_settle(call.context, avow_none());
	fx_run();
	avow_loop_free(fx.loop);

	blocks_before = fx_blocks();
	fx.loop = avow_loop_new(fx.ev);
	ck_assert_ptr_nonnull(fx.loop);
	avow_loop_on_report(fx.loop, fx_report, NULL);
}

void fx_teardown(void)
{
	fx_fail_never();
	fx_free_loop();
	fx_destroy_ev();
	while (laters) {
		struct later *const later = laters;
		laters = later->next;
		free(later);
	}
	fx_expect_reports("");
	ck_assert_msg(fx_blocks() == blocks_before,
		      "%zu blocks before the test, %zu after it",
		      blocks_before, fx_blocks());
	ck_assert_msg(open_descriptors() == descriptors_before,
		      "%d descriptors before the test, %d after it",
		      descriptors_before, open_descriptors());
	ck_assert_msg(fx.boxes == 0, "%d boxes were not dropped", fx.boxes);
}

void fx_run(void)
{
	ev_run(fx.ev, 0);
}

void fx_free_loop(void)
{
	avow_loop *const loop = fx.loop;
	fx.loop = NULL;
	avow_loop_free(loop);
}

void fx_destroy_ev(void)
{
	if (fx.ev)
		ev_loop_destroy(fx.ev);
	fx.ev = NULL;
}

static void later_is_now(struct ev_loop *ev, ev_timer *timer, int events)
{
	struct later *const later = (struct later *)(void *)timer;
	struct later **where = &laters;
	const struct later is = *later;
	(void)ev;
	(void)events;
	while (*where != later)
		where = &(*where)->next;
	*where = later->next;
	free(later);
	is.job(is.arg);
}

void fx_later(double seconds, avow_job_fn *job, void *arg)
{
	struct later *const later = calloc(1, sizeof(*later));
	ck_assert_ptr_nonnull(later);
	ev_timer_init(&later->timer, later_is_now, seconds, 0.);
	later->job = job;
	later->arg = arg;
	later->next = laters;
	laters = later;
	ev_timer_start(fx.ev, &later->timer);
}

void fx_in_callback(avow_job_fn *job, void *arg)
{
	fx_later(0., job, arg);
	fx_run();
}

struct small_stack {
	avow_job_fn *job;
	void *arg;
};

static void *on_small_stack(void *arg)
{
	const struct small_stack *const small = arg;
	if (fx.loop)
		avow_loop_adopt(fx.loop);
	small->job(small->arg);
	return NULL;
}

void fx_on_small_stack(avow_job_fn *job, void *arg)
{
	/* A sanitizer's own data and red zones lie on the stack as well. */
	const size_t size = fx_scale(100) == 100 ? 64 * 1024 : 512 * 1024;
	struct small_stack small = { job, arg };
	pthread_attr_t attributes;
	pthread_t thread;
	ck_assert_int_eq(pthread_attr_init(&attributes), 0);
	ck_assert_int_eq(pthread_attr_setstacksize(&attributes, size), 0);
	ck_assert_int_eq(pthread_create(&thread, &attributes, on_small_stack,
					&small), 0);
	pthread_join(thread, NULL);
	pthread_attr_destroy(&attributes);
	if (fx.loop)
		avow_loop_adopt(fx.loop);
}

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
	__has_feature(memory_sanitizer)
#define FX_IS_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define FX_IS_SANITIZED 1
#endif

bool fx_is_emulated(void)
{
	return getenv("FX_EMULATED") != NULL;
}

static size_t usual_scale(void)
{
	const char *const preload = getenv("LD_PRELOAD");
	if (preload && strstr(preload, "vgpreload"))
		return 500;
	if (fx_is_emulated())
		return 20;
#if defined(FX_IS_SANITIZED) || defined(AVOW_DEBUG)
	return 50;
#else
	return 1;
#endif
}

size_t fx_scale(size_t count)
{
	const char *const text = getenv("FX_SCALE");
	const size_t asked = text ? strtoul(text, NULL, 10) : 0;
	const size_t scaled = count / (asked ? asked : usual_scale());
	return scaled ? scaled : 1;
}

size_t fx_scale_calls(size_t count)
{
	const size_t most = UINTPTR_MAX > 0xffffffff ? SIZE_MAX : 16000;
	return fx_scale(count < most ? count : most);
}


/* ------------------------------------------------------------ What happened */

static struct text {
	size_t size;
	char chars[64 * 1024];
} events, reports;
static int report_lines[4];

__attribute__((format(printf, 2, 0)))
static void text_add(struct text *text, const char *format, va_list args)
{
	const size_t room = sizeof(text->chars) - text->size;
	char *const end = text->chars + text->size;
	const char *const bar = text->size ? "|" : "";
	char piece[512];
	vsnprintf(piece, sizeof(piece), format, args);
	const int size = snprintf(end, room, "%s%s", bar, piece);
	ck_assert_msg((size_t)size < room, "the log is full");
	text->size += (size_t)size;
}

static const char *text_take(struct text *text)
{
	static char taken[sizeof(text->chars)];
	memcpy(taken, text->chars, text->size);
	taken[text->size] = '\0';
	text->size = 0;
	return taken;
}

void fx_log(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	text_add(&events, format, args);
	va_end(args);
}

const char *fx_take_log(void)
{
	return text_take(&events);
}

const char *fx_take_reports(void)
{
	return text_take(&reports);
}

int fx_report_line(size_t index)
{
	return index < 4 ? report_lines[index] : 0;
}

__attribute__((format(printf, 1, 2)))
static void report_add(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	text_add(&reports, format, args);
	va_end(args);
}

void fx_report(avow_loop *loop, const avow_report *report, void *arg)
{
	const char *const call = report->call ? report->call : "promise";
	(void)loop;
	(void)arg;
	for (size_t i = 0; i < 4; i++) {
		const char *const colon = i < report->place_count ?
			strrchr(report->place[i], ':') : NULL;
		report_lines[i] = colon ? atoi(colon + 1) : 0;
	}
	switch (report->kind) {
	case AVOW_REPORT_UNHANDLED:
		report_add("unhandled:%s", avow_message(report->error));
		break;
	case AVOW_REPORT_ABANDONED:
		report_add("abandoned:%s", call);
		break;
	case AVOW_REPORT_MEMORY:
		report_add("memory");
		break;
	case AVOW_REPORT_LATE:
		if (!fx.ignores_late)
			report_add("late:%s", call);
		break;
	}
}

static size_t text_of_list(avow_value value, char *text, size_t size)
{
	size_t used = (size_t)snprintf(text, size, "[");
	for (size_t i = 0; i < avow_list_count(value) && used < size; i++)
		used += (size_t)snprintf(text + used, size - used, "%s%s",
					 i ? "," : "",
					 fx_text(avow_list_at(value, i)));
	if (used < size)
		used += (size_t)snprintf(text + used, size - used, "]");
	return used;
}

const char *fx_text(avow_value value)
{
	static char texts[8][256];
	static size_t next;
	const size_t size = sizeof(texts[0]);
	char *const text = texts[next++ % 8];
	if (avow_is_error(value))
		snprintf(text, size, "!%s", avow_message(value));
	else if (avow_is_none(value))
		snprintf(text, size, "none");
	else if (avow_is(value, &avow_bool_type))
		snprintf(text, size, "%s", value.as.b ? "true" : "false");
	else if (avow_is(value, &avow_int_type))
		snprintf(text, size, "%lld", (long long)value.as.i64);
	else if (avow_is(value, &avow_double_type))
		snprintf(text, size, "%g", value.as.f64);
	else if (avow_is(value, &avow_str_type))
		snprintf(text, size, "%s", avow_str_get(value));
	else if (avow_is(value, &avow_list_type))
		text_of_list(value, text, size);
	else if (avow_is(value, &fx_box_type))
		snprintf(text, size, "box:%d", fx_box_get(value)->number);
	else if (avow_is(value, &fx_twin_type))
		snprintf(text, size, "twin:%d", fx_twin_get(value)->number);
	else
		snprintf(text, size, "%s", value.type->name);
	return text;
}


/* --------------------------------------------------------------- Handlers */

avow_value fx_pass(avow_value value, void *name)
{
	if (name)
		fx_log("%s:%s", (const char *)name, fx_text(value));
	else
		fx_log("%s", fx_text(value));
	return value;
}

avow_value fx_note(avow_value value, void *name)
{
	fx_pass(value, name);
	return avow_none();
}

avow_value fx_seven(avow_value value, void *name)
{
	fx_pass(value, name);
	return avow_int(7);
}

avow_value fx_fail(avow_value value, void *name)
{
	fx_pass(value, name);
	return avow_error(EIO, "failed");
}

avow_value fx_note_code(avow_value value, void *name)
{
	fx_log("%s:%d", (const char *)name,
	       avow_domain_of(value) == &avow_core_domain ? avow_code(value) :
	       0);
	return avow_none();
}

void fx_job(void *name)
{
	fx_log("%s", (const char *)name);
}

void fx_drop(void *name)
{
	fx_log("drop:%s", (const char *)name);
}

static struct fx_box *box_make(int number)
{
	struct fx_box *const box = malloc(sizeof(*box));
	ck_assert_ptr_nonnull(box);
	box->number = number;
	__atomic_fetch_add(&fx.boxes, 1, __ATOMIC_RELAXED);
	return box;
}

static void box_free(struct fx_box *box)
{
	__atomic_fetch_sub(&fx.boxes, 1, __ATOMIC_RELAXED);
	free(box);
}

static struct fx_box *box_copy(struct fx_box *box)
{
	return box_make(box->number);
}

AVOW_TYPE(fx_box, struct fx_box *, box_free);
AVOW_TYPE(fx_twin, struct fx_box *, box_free, box_copy);

avow_value fx_box_new(int number)
{
	return fx_box_value(box_make(number));
}

avow_value fx_twin_new(int number)
{
	return fx_twin_value(box_make(number));
}


/* ----------------------------------------------------------------- Misuse */

static struct child {
	pid_t pid;
	int from;
	char text[4096];
} child;

bool fx_abort_begin(void)
{
	const struct rlimit no_core = { 0, 0 };
	int ends[2];
	ck_assert_int_eq(pipe(ends), 0);
	child.pid = fork();
	ck_assert_int_ne(child.pid, -1);
	if (child.pid) {
		close(ends[1]);
		child.from = ends[0];
		return false;
	}
	dup2(ends[1], STDERR_FILENO);
	close(ends[0]);
	close(ends[1]);
	setrlimit(RLIMIT_CORE, &no_core);
	return true;
}

void fx_abort_survived(void)
{
	_exit(0);
}

const char *fx_abort_look(const char *text)
{
	static char problem[sizeof(child.text) + 256];
	size_t size = 0;
	ssize_t got;
	int status = 0;
	while ((got = read(child.from, child.text + size,
			   sizeof(child.text) - 1 - size)) > 0)
		size += (size_t)got;
	child.text[size] = '\0';
	/* An emulator has its say about the signal, behind the program's. */
	char *const said = strstr(child.text, "qemu: uncaught target signal");
	if (fx_is_emulated() && said)
		*said = '\0';
	close(child.from);
	waitpid(child.pid, &status, 0);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT &&
	    strstr(child.text, text))
		return NULL;
	snprintf(problem, sizeof(problem),
		 "expected abort() with \"%s\", but it ended by %s %d "
		 "with \"%s\"", text, WIFSIGNALED(status) ? "signal" : "exit",
		 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
		 child.text);
	return problem;
}

const char *fx_abort_text(void)
{
	return child.text;
}

bool fx_abort_names(int line)
{
	char place[16];
	const char *at = child.text;
	const int size = snprintf(place, sizeof(place), ":%d", line);
	while ((at = strstr(at, place))) {
		at += size;
		if (*at < '0' || *at > '9')
			return true;
	}
	return false;
}


/* ------------------------------------------------------------------ Tests */

static struct fx_test *first_test, **last_test = &first_test;

void fx_list(struct fx_test *test)
{
	*last_test = test;
	last_test = &test->next;
}

/* One case for each test, as a case is what has a time limit in Check. */
int fx_main(const char *module)
{
	const double slowness = fx_scale(1000) == 1000 ? 1. : 10.;
	Suite *const suite = suite_create(module);
	for (const struct fx_test *t = first_test; t; t = t->next) {
		TCase *const one = tcase_create(t->check->name);
		tcase_add_checked_fixture(one, fx_setup, fx_teardown);
		tcase_set_timeout(one, t->limit * slowness);
		tcase_add_test(one, t->check);
		suite_add_tcase(suite, one);
	}
	SRunner *const runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
