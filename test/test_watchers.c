/*
 * SPDX-License-Identifier: MIT
 *
 * Whatever libev watches besides timers and descriptors, as promises; and all
 * of it as emitters.  (test_watch.c has timers and descriptors as promises.)
 *
 * No test measures time.  Intervals are a few milliseconds, and only the order
 * of what happens is compared.  Signals are those that do nothing by default,
 * so that one that nobody watches does no harm.  Children are watched in the
 * default loop, which those tests make and destroy.
 */
#include "scene.h"

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void hear(avow_value value, void *name)
{
	fx_log("%s:%s", (const char *)name, fx_text(value));
}

static void raise_it(void *signum)
{
	fx_log("raise");
	raise((int)(intptr_t)signum);
}

static void raise_later(int signum)
{
	fx_later(.001, raise_it, (void *)(intptr_t)signum);
}

static void cancel(void *p)
{
	fx_log("cancel");
	avow_cancel(p);
}

static const char *errno_name(int code)
{
	switch (code) {
	case EBADF:
		return "EBADF";
	case EBUSY:
		return "EBUSY";
	case ECHILD:
		return "ECHILD";
	case EINVAL:
		return "EINVAL";
	case ENOTSUP:
		return "ENOTSUP";
	default:
		return strerror(code);
	}
}

/* Logs "name:EBADF" and the like. */
static avow_value note_errno(avow_value error, void *name)
{
	fx_log("%s:%s", (const char *)name,
	       avow_domain_of(error) == &avow_errno_domain
		       ? errno_name(avow_code(error))
		       : "another domain");
	return avow_none();
}

static void hear_errno(avow_value error, void *name)
{
	(void)!note_errno(error, name).type;
}

static void hear_code(avow_value error, void *name)
{
	(void)!fx_note_code(error, name).type;
}

/* The default loop, with a loop of ours on it. */
static struct home {
	struct ev_loop *ev;
	avow_loop *loop;
} home;

static void home_open(void)
{
	home.ev = ev_default_loop(0);
	home.loop = avow_loop_new(home.ev);
	ck_assert_ptr_nonnull(home.loop);
	avow_loop_on_report(home.loop, fx_report, NULL);
}

static void home_close(void)
{
	avow_loop_free(home.loop);
	ev_loop_destroy(home.ev);
}

/* A child that ends with this code, at once or when it is killed. */
static pid_t child_new(int code)
{
	const pid_t pid = fork();

	ck_assert_int_ne(pid, -1);
	if (pid)
		return pid;
	if (code < 0)
		pause();
	_exit(code);
}

/* It has ended, and nobody has waited for it. */
static void child_has_ended(pid_t pid)
{
	siginfo_t info;

	ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
}

static avow_value note_status(avow_value value, void *name)
{
	const int status = (int)avow_int_get(value);

	if (WIFEXITED(status))
		fx_log("%s:exit %d", (const char *)name, WEXITSTATUS(status));
	else
		fx_log("%s:signal %d", (const char *)name, WTERMSIG(status));
	return avow_none();
}


/* ---------------------------------------------------------- The wall clock */

static double now(void)
{
	return ev_time();
}

FX_TEST(a_time_of_day_can_be_waited_for)
{
	avow_then(avow_at(fx.loop, now() + .002), fx_note, "at");
	fx_log("attached");
	fx_run();

	fx_expect("attached|at:none");
}

FX_TEST(a_time_of_day_that_is_past_is_a_turn_of_the_loop_away)
{
	avow_promise *const p = avow_at(fx.loop, 0);

	ck_assert_int_eq(avow_state_of(p), AVOW_PENDING);
	avow_then(p, fx_note, "past");
	avow_then(avow_at(fx.loop, -1e300), fx_note, "long past");
	fx_run();

	const char *const log = fx_take_log();
	ck_assert_ptr_nonnull(strstr(log, "long past:none"));
	ck_assert_uint_eq(strlen(log), strlen("past:none|long past:none"));
}

FX_TEST(a_time_of_day_may_be_in_a_slot)
{
	avow_promise *p;

	avow_slot(avow_at(fx.loop, 0), &p);
	ck_assert_ptr_nonnull(p);
	fx_run();

	ck_assert_ptr_null(p);
}

FX_TEST(a_time_of_day_that_is_not_finite_is_rejected)
{
	avow_catch(avow_at(fx.loop, NAN), fx_note, "nan");
	avow_catch(avow_at(fx.loop, INFINITY), fx_note_code, "inf");
	fx_run();

	ck_assert_int_eq(AVOW_EINVALID, 10);
	fx_expect("nan:!at nan seconds since 1970|inf:10");
}

FX_TEST(a_cancelled_time_of_day_does_not_keep_the_loop_running)
{
	avow_promise *const p = avow_at(fx.loop, now() + 1e6);

	avow_then(p, fx_note, "never");
	fx_later(.001, cancel, p);
	fx_run();

	fx_expect("cancel");
}


/* ------------------------------------------------------------------ Signals */

FX_TEST(a_signal_can_be_waited_for)
{
	avow_then(avow_signalled(fx.loop, SIGWINCH), fx_note, "signal");
	avow_then(avow_signalled(fx.loop, SIGWINCH), fx_note, "signal");
	raise_later(SIGWINCH);
	fx_run();

	char text[64];
	snprintf(text, sizeof(text), "raise|signal:%d|signal:%d", SIGWINCH,
		 SIGWINCH);
	fx_expect(text);
}

FX_TEST(what_is_no_signal_that_can_be_caught_is_rejected)
{
	const int bad[] = { 0, -1, NSIG, 1 << 30, SIGKILL, SIGSTOP, 32 };

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		avow_catch(avow_signalled(fx.loop, bad[i]), note_errno, "e");
	fx_run();

	fx_expect("e:EINVAL|e:EINVAL|e:EINVAL|e:EINVAL|e:EINVAL|e:EINVAL|"
		  "e:EINVAL");
}

FX_TEST(a_signal_that_another_loop_watches_is_rejected)
{
	struct ev_loop *const ev = ev_loop_new(0);
	avow_loop *const loop = avow_loop_new(ev);
	avow_promise *const p = avow_signalled(fx.loop, SIGWINCH);
	avow_promise *q = avow_signalled(loop, SIGWINCH);

	avow_catch(q, note_errno, "other");
	avow_catch(avow_signalled(fx.loop, SIGCHLD), note_errno, "child");
	avow_cancel(p);
	q = avow_signalled(loop, SIGWINCH);
	ck_assert_int_eq(avow_state_of(q), AVOW_PENDING);
	avow_cancel(q);
	ev_run(ev, 0);
	fx_run();

	fx_expect("other:EBUSY|child:EBUSY");
	avow_loop_free(loop);
	ev_loop_destroy(ev);
}

FX_TEST(a_signal_is_free_again_once_its_loop_was_destroyed)
{
	struct ev_loop *ev = ev_loop_new(0);
	avow_loop *loop = avow_loop_new(ev);

	avow_catch(avow_signalled(loop, SIGWINCH), fx_note_code, "old");
	ev_loop_destroy(ev);
	raise(SIGWINCH);
	avow_then(avow_signalled(fx.loop, SIGWINCH), fx_pass, "new");
	raise_later(SIGWINCH);
	fx_run();
	avow_loop_free(loop);

	char text[64];
	snprintf(text, sizeof(text), "raise|new:%d|old:3", SIGWINCH);
	fx_expect(text);
}

static void keep_quiet(int signum)
{
	(void)signum;
}

static const char *handler_name(int signum)
{
	struct sigaction action;

	ck_assert_int_eq(sigaction(signum, NULL, &action), 0);
	if (action.sa_handler == SIG_DFL)
		return "default";
	if (action.sa_handler == SIG_IGN)
		return "ignored";
	return action.sa_handler == keep_quiet ? "mine" : "libev's";
}

static void note_handler(int signum)
{
	fx_log("%s", handler_name(signum));
}

FX_TEST(a_signal_does_what_it_did_when_nobody_waits_any_more)
{
	void (*const before[])(int) = { SIG_IGN, keep_quiet, SIG_DFL };

	for (size_t i = 0; i < sizeof(before) / sizeof(*before); i++) {
		signal(SIGUSR1, before[i]);
		avow_promise *const p = avow_signalled(fx.loop, SIGUSR1);
		avow_promise *const q = avow_signalled(fx.loop, SIGUSR1);
		avow_cancel(p);
		note_handler(SIGUSR1);
		avow_cancel(q);
		note_handler(SIGUSR1);
	}

	fx_expect("libev's|ignored|libev's|mine|libev's|default");
}

static void on_own_signal(struct ev_loop *ev, ev_signal *watcher, int events)
{
	(void)ev;
	(void)events;
	fx_log("own:%d", watcher->signum == SIGUSR1);
}

FX_TEST(a_signal_that_the_program_watches_as_well_stays_watched)
{
	ev_signal own;

	signal(SIGUSR1, SIG_IGN);
	ev_signal_init(&own, on_own_signal, SIGUSR1);
	ev_signal_start(fx.ev, &own);
	avow_cancel(avow_signalled(fx.loop, SIGUSR1));
	note_handler(SIGUSR1);
	raise(SIGUSR1);
	ev_run(fx.ev, EVRUN_NOWAIT);
	avow_promise *const p = avow_signalled(fx.loop, SIGUSR1);
	ev_signal_stop(fx.ev, &own);
	avow_cancel(p);
	note_handler(SIGUSR1);

	fx_expect("libev's|own:1|default");
}

FX_TEST(waiting_for_a_signal_can_be_aborted)
{
	avow_abort *const stop = avow_abort_new(fx.loop);
	avow_signal *const signal = avow_abort_signal(stop);

	avow_catch(avow_signalled(fx.loop, SIGWINCH, .signal = signal), fx_note,
		   "signalled");
	avow_catch(avow_at(fx.loop, now() + 1e6, .signal = signal), fx_note,
		   "at");
	avow_catch(avow_changed(fx.loop, "/", .signal = signal), fx_note,
		   "changed");
	avow_abort_with(stop, avow_error(EIO, "enough"));
	fx_run();

	fx_expect("signalled:!enough|at:!enough|changed:!enough");
	avow_abort_free(stop);
}


/* ----------------------------------------------------------------- Children */

FX_TEST(the_end_of_a_child_can_be_waited_for)
{
	home_open();
	avow_then(avow_exited(home.loop, child_new(7)), note_status, "a");
	ev_run(home.ev, 0);
	fx_expect("a:exit 7");

	const pid_t pid = child_new(-1);
	avow_then(avow_exited(home.loop, pid), note_status, "b");
	avow_then(avow_exited(home.loop, pid), note_status, "b");
	kill(pid, SIGKILL);
	ev_run(home.ev, 0);
	char text[64];
	snprintf(text, sizeof(text), "b:signal %d|b:signal %d", SIGKILL,
		 SIGKILL);
	fx_expect(text);
	home_close();
}

FX_TEST(a_child_may_have_ended_before)
{
	const pid_t before = child_new(1);

	child_has_ended(before);
	home_open();
	const pid_t after = child_new(2);
	child_has_ended(after);
	avow_then(avow_exited(home.loop, before), note_status, "before");
	ev_run(home.ev, 0);
	/* libev has waited for both. */
	avow_catch(avow_exited(home.loop, after), note_errno, "after");
	ev_run(home.ev, 0);

	fx_expect("before:exit 1|after:ECHILD");
	home_close();
}

FX_TEST(what_is_no_child_is_rejected)
{
	home_open();
	avow_catch(avow_exited(home.loop, getpid()), note_errno, "self");
	avow_catch(avow_exited(home.loop, 0), note_errno, "0");
	avow_catch(avow_exited(home.loop, -7), note_errno, "-7");
	avow_catch(avow_exited(fx.loop, getpid()), note_errno, "elsewhere");
	ev_run(home.ev, 0);
	fx_run();

	fx_expect("self:ECHILD|0:EINVAL|-7:EINVAL|elsewhere:ENOTSUP");
	home_close();
}

FX_TEST(waiting_for_a_child_can_be_given_up)
{
	home_open();
	const pid_t pid = child_new(-1);
	avow_abort *const stop = avow_abort_new(home.loop);
	avow_promise *const p = avow_exited(home.loop, pid);

	avow_catch(avow_exited(home.loop, pid,
			       .signal = avow_abort_signal(stop)),
		   fx_note, "aborted");
	avow_then(p, note_status, "never");
	avow_cancel(p);
	avow_abort_with(stop, avow_none());
	ev_run(home.ev, 0);

	fx_expect("aborted:!cancelled");
	avow_abort_free(stop);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	home_close();
}

FX_TEST(the_default_loop_may_be_destroyed_with_a_child_watched)
{
	home_open();
	const pid_t pid = child_new(-1);
	avow_emitter *const any = avow_watch_child(home.loop, 0);

	avow_emitter_on(any, "exit", hear, "never");
	avow_catch(avow_exited(home.loop, pid), fx_note_code, "abandoned");
	ev_loop_destroy(home.ev);
	avow_loop_free(home.loop);
	kill(pid, SIGKILL);
	home_open();
	avow_then(avow_exited(home.loop, pid), note_status, "again");
	ev_run(home.ev, 0);

	char text[64];
	snprintf(text, sizeof(text), "abandoned:3|again:signal %d", SIGKILL);
	fx_expect(text);
	avow_emitter_free(any);
	home_close();
}


/* -------------------------------------------------------------------- Paths */

static char folder[64], file[96];

static void file_open(void)
{
	strcpy(folder, "/tmp/avow-watchers-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(file, sizeof(file), "%s/file", folder);
}

static void file_close(void)
{
	unlink(file);
	ck_assert_int_eq(rmdir(folder), 0);
}

static void file_write(void *text)
{
	const int fd = open(file, O_WRONLY | O_CREAT | O_APPEND, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_gt(write(fd, text, strlen(text)), 0);
	close(fd);
	fx_log("write");
}

static void file_remove(void *arg)
{
	(void)arg;
	ck_assert_int_eq(unlink(file), 0);
	fx_log("remove");
}

FX_TEST(a_file_that_comes_changes_and_goes)
{
	file_open();
	avow_then(avow_changed(fx.loop, file, .interval = .1), fx_note, "new");
	fx_later(.001, file_write, "a");
	fx_run();
	fx_expect("write|new:true");

	avow_then(avow_changed(fx.loop, file, .interval = .1), fx_note, "more");
	fx_later(.001, file_write, "bc");
	fx_run();
	fx_expect("write|more:true");

	avow_then(avow_changed(fx.loop, file, .interval = .1), fx_note, "gone");
	fx_later(.001, file_remove, NULL);
	fx_run();
	fx_expect("remove|gone:false");
	file_close();
}

FX_TEST(a_path_is_copied)
{
	char path[sizeof(file)];

	file_open();
	strcpy(path, file);
	avow_then(avow_changed(fx.loop, path, .interval = .1), fx_note, "new");
	avow_emitter *const e = avow_watch_stat(fx.loop, path, .1);
	avow_then(avow_once(e, "change"), fx_note, "change");
	memset(path, 'x', strlen(path));
	fx_later(.001, file_write, "a");
	fx_run();

	const char *const log = fx_take_log();
	ck_assert_ptr_nonnull(strstr(log, "new:true"));
	ck_assert_ptr_nonnull(strstr(log, "change:true"));
	avow_emitter_free(e);
	file_close();
}

FX_TEST(a_path_that_cannot_be_watched_is_rejected)
{
	avow_promise *const p = avow_changed(fx.loop, "");

	avow_catch(avow_changed(fx.loop, NULL), fx_note, "null");
	avow_catch(avow_changed(fx.loop, "/", .interval = -1), fx_note,
		   "minus");
	avow_catch(avow_changed(fx.loop, "/", .interval = NAN), fx_note_code,
		   "nan");
	avow_then(p, fx_note, "an empty path is one that is not there");
	avow_cancel(p);
	fx_run();

	fx_expect("null:!a NULL path to watch|"
		  "minus:!a path every -1 seconds|nan:10");
}


/* -------------------------------------------------------------------- Forks */

static avow_value set_flag(avow_value value, void *flag)
{
	*(int *)flag += avow_is_none(value);
	return avow_none();
}

static void set_flag_to_value(avow_value value, void *flag)
{
	*(int *)flag += 2 * (int)avow_int_get(value);
}

FX_TEST(a_fork_is_told_in_the_child_alone)
{
	int flag = 0, status = 0;
	avow_promise *const p = avow_forked(fx.loop);
	avow_emitter *const e = avow_watch_fork(fx.loop);

	avow_then(p, set_flag, &flag);
	avow_emitter_on(e, "fork", set_flag_to_value, &flag);
	const pid_t pid = fork();
	if (!pid) {
		ev_loop_fork(fx.ev);
		ev_run(fx.ev, EVRUN_NOWAIT);
		_exit(flag);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ev_run(fx.ev, EVRUN_NOWAIT);

	ck_assert_int_eq(WEXITSTATUS(status), 3);
	ck_assert_int_eq(flag, 0);
	ck_assert_int_eq(avow_state_of(p), AVOW_PENDING);
	avow_cancel(p);
	avow_emitter_free(e);
	fx_run();
}


/* --------------------------------------------------------- The end, for all */

static void start_all(avow_loop *loop)
{
	avow_catch(avow_at(loop, now() + 1e6), fx_note_code, "at");
	avow_catch(avow_signalled(loop, SIGWINCH), fx_note_code, "signalled");
	avow_catch(avow_changed(loop, "/"), fx_note_code, "changed");
	avow_catch(avow_forked(loop), fx_note_code, "forked");
}

FX_TEST(the_end_of_the_loop_abandons_all)
{
	start_all(fx.loop);
	fx_free_loop();
	fx_run();

	fx_expect("at:3|signalled:3|changed:3|forked:3");
}

FX_TEST(nothing_is_left_to_stop_once_libevs_loop_is_destroyed)
{
	start_all(fx.loop);
	avow_promise *const p = avow_signalled(fx.loop, SIGWINCH);
	avow_promise *const q = avow_at(fx.loop, now() + 1e6);
	fx_destroy_ev();
	avow_cancel(p);
	avow_cancel(q);
	start_all(fx.loop);
	fx_free_loop();

	const char *const log = fx_take_log();
	ck_assert_uint_eq(strlen(log),
			  2 * strlen("at:3|signalled:3|changed:3|forked:3") +
				  1);
}


/* ---------------------------------------------------------------- Intervals */

static void hear_and_stop(avow_value value, void *emitter)
{
	fx_log("tick:%s", fx_text(value));
	if (avow_int_get(value) == 3)
		avow_emitter_off(emitter, "tick", hear_and_stop, emitter);
}

FX_TEST(an_interval_ticks_until_nobody_listens)
{
	avow_emitter *const e = avow_interval(fx.loop, .001);

	avow_emitter_on(e, "tick", hear_and_stop, e);
	fx_run();
	fx_log("stopped");
	fx_run();
	avow_then(avow_once(e, "tick"), fx_note, "once");
	fx_run();

	fx_expect("tick:1|tick:2|tick:3|stopped|once:4");
	avow_emitter_free(e);
}

FX_TEST(an_interval_that_nobody_listens_to_does_nothing)
{
	avow_emitter *const e = avow_interval(fx.loop, .001);

	avow_emitter_on(e, "error", hear, "error");
	avow_emitter_on(e, "tock", hear, "tock");
	fx_run();

	fx_expect("");
	avow_emitter_free(e);
}

FX_TEST(intervals_tick_beside_each_other)
{
	avow_emitter *const fast = avow_interval(fx.loop, .001);
	avow_emitter *const slow = avow_interval(fx.loop, .002);

	avow_emitter_on(fast, "tick", hear_and_stop, fast);
	avow_emitter_on(slow, "tick", hear_and_stop, slow);
	fx_run();

	ck_assert_uint_eq(strlen(fx_take_log()),
			  strlen("tick:1|tick:1|tick:2|tick:2|tick:3|tick:3"));
	avow_emitter_free(fast);
	avow_emitter_free(slow);
}

static double tick_begun;

/* The first takes until the middle between the fifth and the sixth. */
static void note_tick(avow_value value, void *emitter)
{
	const double interval = .02;
	const int64_t number = avow_int_get(value);
	const double at = (ev_time() - tick_begun) / interval;

	fx_log("%d%s", (int)number, number == 3 && at < 5.99 ? " early" : "");
	if (number == 1) {
		while (ev_time() < tick_begun + 5.5 * interval)
			continue;
	} else if (number == 3) {
		avow_emitter_off(emitter, "tick", note_tick, emitter);
	}
}

/* Four are due by then: they are one, and the next does not come before its
 * time. */
FX_TEST(ticks_that_came_too_late_are_one)
{
	avow_emitter *const e = avow_interval(fx.loop, .02);

	tick_begun = ev_time();
	avow_emitter_on(e, "tick", note_tick, e);
	fx_run();
	avow_emitter_free(e);

	fx_expect("1|2|3");
}

static void hear_seconds(avow_value error, void *name)
{
	fx_log("%s:%s", (const char *)name, avow_message(error));
	hear_code(error, "code");
}

FX_TEST(an_interval_of_no_time_is_an_error)
{
	const double bad[] = { 0, -1, NAN, INFINITY, -INFINITY };

	for (size_t i = 0; i < 5; i++) {
		avow_emitter *const e = avow_interval(fx.loop, bad[i]);
		avow_emitter_on(e, "error", hear_seconds, "error");
		avow_emitter_on(e, "tick", hear, "never");
		fx_log("listening");
		fx_run();
		avow_emitter_free(e);
	}
	fx_expect("listening|error:an interval of 0 seconds|code:10|"
		  "listening|error:an interval of -1 seconds|code:10|"
		  "listening|error:an interval of nan seconds|code:10|"
		  "listening|error:an interval of inf seconds|code:10|"
		  "listening|error:an interval of -inf seconds|code:10");
}

FX_TEST(the_wall_clock_ticks_as_well)
{
	avow_emitter *const e = avow_watch_periodic(fx.loop, 1e9, .002);
	avow_emitter *const bad = avow_watch_periodic(fx.loop, 0, 0);
	avow_emitter *const worse = avow_watch_periodic(fx.loop, NAN, 1);

	avow_emitter_on(e, "tick", hear_and_stop, e);
	avow_catch(avow_once(bad, "tick"), fx_note_code, "bad");
	avow_catch(avow_once(worse, "tick"), fx_note_code, "worse");
	fx_run();

	fx_expect("bad:10|worse:10|tick:1|tick:2|tick:3");
	avow_emitter_free(e);
	avow_emitter_free(bad);
	avow_emitter_free(worse);
}


/* -------------------------------------------------- What cannot be watched */

FX_TEST(an_error_at_the_start_comes_from_the_loop)
{
	avow_emitter *const e = avow_watch_io(fx.loop, -1, AVOW_READ);

	ck_assert(avow_emitter_on(e, "ready", hear, "never"));
	avow_emitter_on(e, "error", hear_errno, "error");
	fx_log("listening");
	fx_run();

	fx_expect("listening|error:EBADF");
	avow_emitter_free(e);
}

FX_TEST(an_error_at_the_start_rejects_what_waits)
{
	avow_emitter *const e = avow_watch_io(fx.loop, -1, AVOW_READ);
	avow_events *const it = avow_events_new(e, "ready");

	avow_catch(avow_once(e, "ready"), note_errno, "once");
	avow_catch(avow_events_next(it), note_errno, "next");
	fx_run();

	fx_expect("next:EBADF|once:EBADF");
	avow_events_free(it);
	avow_emitter_free(e);
}

FX_TEST(an_error_at_the_start_that_nobody_listens_to_is_reported)
{
	const int line = __LINE__ + 1;
	avow_emitter *const e = avow_interval(fx.loop, -1);

	avow_emitter_on(e, "tick", hear, "never");
	fx_run();

	fx_expect_reports("unhandled:an interval of -1 seconds");
	ck_assert_int_eq(fx_report_line(0), line);
	avow_emitter_free(e);
}

FX_TEST(an_error_at_the_start_is_forgotten_when_nobody_waits_any_more)
{
	avow_emitter *const e = avow_watch_io(fx.loop, -1, AVOW_READ);
	avow_emitter *const gone = avow_watch_io(fx.loop, -1, AVOW_READ);

	avow_cancel(avow_once(e, "ready"));
	avow_emitter_on(gone, "ready", hear, "never");
	avow_emitter_free(gone);
	fx_run();

	avow_emitter_free(e);
}

FX_TEST(the_next_first_listener_tries_again)
{
	const int fd = dup(STDOUT_FILENO);
	avow_emitter *const e = avow_watch_io(fx.loop, fd, AVOW_READ);
	int ends[2];

	close(fd);
	avow_catch(avow_once(e, "ready"), note_errno, "closed");
	fx_run();
	ck_assert_int_eq(pipe(ends), 0);
	const int other = ends[0] == fd ? -1 : dup2(ends[0], fd);
	close(ends[1]);
	avow_then(avow_once(e, "ready"), fx_note, "open");
	fx_run();

	fx_expect("closed:EBADF|open:1");
	close(ends[0]);
	if (other != -1)
		close(fd);
	avow_emitter_free(e);
}

FX_TEST(bad_arguments_of_each_kind_are_errors)
{
	avow_emitter *const list[] = {
		avow_watch_io(fx.loop, 1 << 30, AVOW_READ),
		avow_watch_io(fx.loop, STDOUT_FILENO, 0),
		avow_watch_signal(fx.loop, SIGKILL),
		avow_watch_signal(fx.loop, SIGCHLD),
		avow_watch_child(fx.loop, 0),
		avow_watch_child(fx.loop, -1),
		avow_watch_stat(fx.loop, NULL, 0),
		avow_watch_stat(fx.loop, "/", -1),
	};
	const char *const events[] = { "ready", "ready", "signal", "signal",
				       "exit",	"exit",	 "change", "change" };

	for (size_t i = 0; i < 8; i++) {
		avow_catch(avow_once(list[i], events[i]), note_errno, "e");
		fx_run();
		avow_emitter_free(list[i]);
	}
	fx_expect("e:EBADF|e:EINVAL|e:EINVAL|e:EBUSY|e:ENOTSUP|e:EINVAL|"
		  "e:another domain|e:another domain");
}


/* -------------------------------------------------------------- Descriptors */

struct reader {
	avow_emitter *e;
	int fd;
};

static void read_one(avow_value events, void *arg)
{
	const struct reader *const r = arg;
	char c = '-';

	ck_assert_int_ge(read(r->fd, &c, 1), 0);
	fx_log("%s:%c", fx_text(events), c);
	if (c == '-')
		avow_emitter_off(r->e, "ready", read_one, arg);
}

FX_TEST(a_descriptor_is_told_of_for_as_long_as_it_is_ready)
{
	int ends[2];

	ck_assert_int_eq(pipe(ends), 0);
	avow_emitter *const e = avow_watch_io(fx.loop, ends[0], AVOW_READ);
	struct reader r = { e, ends[0] };
	avow_emitter_on(e, "ready", read_one, &r);
	ck_assert_int_eq(write(ends[1], "abc", 3), 3);
	close(ends[1]);
	fx_run();

	fx_expect("1:a|1:b|1:c|1:-");
	close(ends[0]);
	avow_emitter_free(e);
}

FX_TEST(a_descriptor_can_be_watched_for_writing)
{
	int ends[2];

	ck_assert_int_eq(pipe(ends), 0);
	avow_emitter *const e =
		avow_watch_io(fx.loop, ends[1], AVOW_READ | AVOW_WRITE);
	avow_emitter_once(e, "ready", hear, "ready");
	fx_run();

	fx_expect("ready:2");
	close(ends[0]);
	close(ends[1]);
	avow_emitter_free(e);
}


/* ------------------------------------------------------- Signals, children */

static void hear_signal(avow_value value, void *emitter)
{
	static int count;

	fx_log("%s", avow_int_get(value) == SIGWINCH ? "winch" : "other");
	if (++count == 2)
		avow_emitter_off(emitter, "signal", hear_signal, emitter);
	else
		raise_later(SIGWINCH);
}

FX_TEST(a_signal_is_told_of_each_time)
{
	avow_emitter *const e = avow_watch_signal(fx.loop, SIGWINCH);

	avow_emitter_on(e, "signal", hear_signal, e);
	raise_later(SIGWINCH);
	fx_run();

	fx_expect("raise|winch|raise|winch");
	avow_emitter_free(e);
}

static void hear_status(avow_value value, void *name)
{
	(void)!note_status(value, name).type;
}

FX_TEST(a_child_is_told_of_once)
{
	home_open();
	const pid_t pid = child_new(3);
	avow_emitter *const e = avow_watch_child(home.loop, pid);

	avow_emitter_on(e, "exit", hear_status, "exit");
	ev_run(home.ev, 0);
	ck_assert_uint_eq(avow_emitter_count(e, "exit"), 1);
	avow_emitter_off(e, "exit", hear_status, "exit");
	avow_catch(avow_once(e, "exit"), note_errno, "again");
	ev_run(home.ev, 0);

	fx_expect("exit:exit 3|again:ECHILD");
	avow_emitter_free(e);
	home_close();
}

static int sum_of_codes;

static void hear_any(avow_value value, void *emitter)
{
	const int status = (int)avow_int_get(avow_list_at(value, 1));

	ck_assert_int_gt(avow_int_get(avow_list_at(value, 0)), 0);
	sum_of_codes += WEXITSTATUS(status);
	if (sum_of_codes == 1 + 2 + 4)
		avow_emitter_off(emitter, "exit", hear_any, emitter);
}

FX_TEST(any_child_is_told_of_with_its_number)
{
	child_has_ended(child_new(1));
	home_open();
	avow_emitter *const e = avow_watch_child(home.loop, 0);
	sum_of_codes = 0;
	avow_emitter_on(e, "exit", hear_any, e);
	(void)child_new(2);
	(void)child_new(4);
	ev_run(home.ev, 0);

	ck_assert_int_eq(sum_of_codes, 7);
	avow_emitter_free(e);
	home_close();
}


/* -------------------------------------------------------------------- Paths */

FX_TEST(a_path_is_told_of_each_time)
{
	file_open();
	avow_emitter *const e = avow_watch_stat(fx.loop, file, .1);
	avow_events *const it = avow_events_new(e, "change");

	fx_later(.001, file_write, "a");
	fx_log("%s", fx_text(avow_wait(avow_events_next(it))));
	fx_later(.001, file_remove, NULL);
	fx_log("%s", fx_text(avow_wait(avow_events_next(it))));
	avow_events_free(it);
	fx_run();

	fx_expect("write|true|remove|false");
	avow_emitter_free(e);
	file_close();
}


/* ------------------------------------------------------------------ Threads */

static void *send_one(void *waker)
{
	avow_watch_send(waker);
	avow_waker_free(waker);
	return NULL;
}

static pthread_t thread_start(void *(*fn)(void *), void *arg)
{
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, fn, arg), 0);
	return thread;
}

FX_TEST(another_thread_wakes_the_loop)
{
	avow_emitter *const e = avow_watch_async(fx.loop);

	avow_then(avow_once(e, "wake"), fx_note, "wake");
	const pthread_t thread = thread_start(send_one, avow_watch_waker(e));
	fx_run();
	pthread_join(thread, NULL);

	fx_expect("wake:1");
	avow_emitter_free(e);
}

FX_TEST(nobody_hears_a_waker_unless_somebody_listens)
{
	avow_emitter *const e = avow_watch_async(fx.loop);
	avow_waker *const waker = avow_watch_waker(e);

	ck_assert(!avow_watch_send(waker));
	avow_emitter_once(e, "wake", hear, "wake");
	ck_assert(avow_watch_send(waker));
	ck_assert(avow_watch_send(waker));
	fx_run();
	ck_assert(!avow_watch_send(waker));
	avow_emitter_on(e, "wake", hear, "wake");
	avow_emitter_free(e);
	ck_assert(!avow_watch_send(waker));
	fx_run();

	fx_expect("wake:1");
	avow_waker_free(waker);
	avow_waker_free(NULL);
}

FX_TEST(a_waker_outlives_both_loops)
{
	avow_emitter *const e = avow_watch_async(fx.loop);
	avow_emitter *const f = avow_watch_async(fx.loop);
	avow_waker *const waker = avow_watch_waker(e);
	avow_waker *const other = avow_watch_waker(f);

	avow_emitter_on(e, "wake", hear, "never");
	fx_destroy_ev();
	ck_assert(!avow_watch_send(waker));
	avow_emitter_off(e, "wake", hear, "never");
	avow_emitter_free(f);
	fx_free_loop();
	ck_assert(!avow_watch_send(waker));
	ck_assert(!avow_watch_send(other));
	avow_emitter_free(e);
	ck_assert(!avow_watch_send(waker));

	avow_waker_free(waker);
	avow_waker_free(other);
}

enum { SENDERS = 4, SENDS = 2000 };
static int senders_left;

static void *send_many(void *waker)
{
	for (int i = 0; i < SENDS; i++)
		avow_watch_send(waker);
	__atomic_sub_fetch(&senders_left, 1, __ATOMIC_ACQ_REL);
	avow_watch_send(waker);
	avow_waker_free(waker);
	return NULL;
}

static void stop_when_done(avow_value value, void *emitter)
{
	(void)value;
	if (!__atomic_load_n(&senders_left, __ATOMIC_ACQUIRE))
		avow_emitter_off(emitter, "wake", stop_when_done, emitter);
}

FX_TEST_LIMIT(many_threads_may_send_at_once, 20)
{
	avow_emitter *const e = avow_watch_async(fx.loop);
	pthread_t threads[SENDERS];

	senders_left = SENDERS;
	avow_emitter_on(e, "wake", stop_when_done, e);
	for (int i = 0; i < SENDERS; i++)
		threads[i] = thread_start(send_many, avow_watch_waker(e));
	fx_run();
	for (int i = 0; i < SENDERS; i++)
		pthread_join(threads[i], NULL);

	ck_assert_uint_eq(avow_emitter_count(e, "wake"), 0);
	avow_emitter_free(e);
}

static bool sender_must_end;

static void *send_without_end(void *waker)
{
	while (!__atomic_load_n(&sender_must_end, __ATOMIC_ACQUIRE))
		avow_watch_send(waker);
	avow_waker_free(waker);
	return NULL;
}

/* The lock that the thread holds at that moment must not stay locked. */
FX_TEST_LIMIT(a_process_may_fork_while_a_thread_sends, 20)
{
	const size_t rounds = 10 + fx_scale(200);
	avow_emitter *const e = avow_watch_async(fx.loop);
	avow_emitter_on(e, "wake", hear, "wake");
	/* In the child nobody else knows of it. */
	static avow_waker *volatile waker;
	waker = avow_watch_waker(e);
	const pthread_t thread = thread_start(send_without_end, waker);

	for (size_t i = 0; i < rounds; i++) {
		const pid_t pid = fork();
		int status = -1;
		if (!pid) {
			alarm(5);
			avow_emitter_free(e);
			_exit(0);
		}
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		ck_assert_int_eq(status, 0);
	}
	__atomic_store_n(&sender_must_end, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);

	avow_emitter_free(e);
}

FX_TEST_LIMIT(threads_may_send_while_all_of_it_ends, 20)
{
	const size_t rounds = fx_scale(300);

	for (size_t i = 0; i < rounds; i++) {
		struct ev_loop *const ev = ev_loop_new(0);
		avow_loop *const loop = avow_loop_new(ev);
		avow_emitter *const e = avow_watch_async(loop);
		avow_waker *const waker = avow_watch_waker(e);
		int heard = 0;
		avow_emitter_on(e, "wake", set_flag_to_value, &heard);
		const pthread_t thread = thread_start(send_one, waker);
		ev_run(ev, EVRUN_NOWAIT);
		if (i % 3 == 0)
			avow_emitter_free(e);
		if (i % 2)
			ev_loop_destroy(ev);
		avow_loop_free(loop);
		if (i % 3)
			avow_emitter_free(e);
		if (i % 2 == 0)
			ev_loop_destroy(ev);
		pthread_join(thread, NULL);
	}
}


/* ------------------------------------------------------ The end of emitters */

static void start_emitters(avow_loop *loop, avow_emitter **list)
{
	const char *const events[] = { "tick",	 "tick", "ready", "signal",
				       "change", "fork", "wake" };

	list[0] = avow_interval(loop, 1e6);
	list[1] = avow_watch_periodic(loop, 0, 1e6);
	list[2] = avow_watch_io(loop, STDOUT_FILENO, AVOW_READ);
	list[3] = avow_watch_signal(loop, SIGWINCH);
	list[4] = avow_watch_stat(loop, "/", 0);
	list[5] = avow_watch_fork(loop);
	list[6] = avow_watch_async(loop);
	for (size_t i = 0; i < 7; i++) {
		ck_assert_ptr_nonnull(list[i]);
		avow_emitter_on(list[i], events[i], hear, "never",
				.drop = fx_drop);
	}
}

static void free_emitters(avow_emitter **list)
{
	for (size_t i = 0; i < 7; i++)
		avow_emitter_free(list[i]);
}

#define SEVEN_DROPS                                                          \
	"drop:never|drop:never|drop:never|drop:never|drop:never|drop:never|" \
	"drop:never"

FX_TEST(freeing_an_emitter_stops_its_watcher)
{
	avow_emitter *list[7];

	start_emitters(fx.loop, list);
	free_emitters(list);
	fx_run();

	fx_expect(SEVEN_DROPS);
}

FX_TEST(the_end_of_the_loop_stops_all_watchers)
{
	avow_emitter *list[7];

	start_emitters(fx.loop, list);
	fx_free_loop();
	fx_run();
	free_emitters(list);

	fx_expect(SEVEN_DROPS);
}

FX_TEST(the_end_of_libevs_loop_ends_all_watchers)
{
	avow_emitter *list[7];

	start_emitters(fx.loop, list);
	fx_destroy_ev();
	free_emitters(list);
	fx_expect(SEVEN_DROPS);
	start_emitters(fx.loop, list);
	fx_free_loop();
	free_emitters(list);

	fx_expect(SEVEN_DROPS);
	(void)fx_take_reports();
}

static avow_value open_all(avow_value value, void *flag)
{
	(void)value;
	*(bool *)flag = !avow_interval(fx.loop, 1) &&
			!avow_watch_async(fx.loop) &&
			!avow_watch_signal(fx.loop, SIGWINCH);
	return avow_none();
}

FX_TEST(no_watcher_is_made_while_the_loop_ends)
{
	bool is_none = false;
	avow_loop *const loop = fx.loop;

	avow_catch(avow_pending(fx.loop), open_all, &is_none);
	avow_loop_free(loop);
	fx.loop = NULL;

	ck_assert(is_none);
}


/* ------------------------------------------------------------- Re-entrancy */

static avow_emitter *scene_emitter;

static void act(avow_value value, void *arg)
{
	(void)value;
	(void)arg;
	scene_act();
	avow_emitter_free(scene_emitter);
}

static void prepare_tick(void)
{
	/* On a slow machine the next tick is due while the first one acts. */
	scene_emitter = avow_interval(scene.loop, .001);
	avow_emitter_once(scene_emitter, "tick", act, NULL);
	scene_self(avow_once(scene_emitter, "tick"));
}

FX_TEST(the_listener_of_a_clock_may_do_anything)
{
	scene_try_all(prepare_tick, 1);
}

static void prepare_signal(void)
{
	scene_emitter = avow_watch_signal(scene.loop, SIGWINCH);
	avow_emitter_on(scene_emitter, "signal", act, NULL);
	scene_self(avow_once(scene_emitter, "signal"));
	raise(SIGWINCH);
}

FX_TEST(the_listener_of_a_signal_may_do_anything)
{
	scene_try_all(prepare_signal, 1);
}

static void prepare_wake(void)
{
	scene_emitter = avow_watch_async(scene.loop);
	avow_waker *const waker = avow_watch_waker(scene_emitter);
	avow_emitter_on(scene_emitter, "wake", act, NULL);
	scene_self(avow_once(scene_emitter, "wake"));
	avow_watch_send(waker);
	avow_waker_free(waker);
}

FX_TEST(the_listener_of_a_thread_may_do_anything)
{
	scene_try_all(prepare_wake, 1);
}

static void prepare_failure(void)
{
	scene_emitter = avow_interval(scene.loop, 0);
	avow_emitter_on(scene_emitter, "error", act, NULL);
	scene_self(avow_once(scene_emitter, "tick"));
}

FX_TEST(the_listener_of_an_error_at_the_start_may_do_anything)
{
	scene_try_all(prepare_failure, 1);
}

static void destroy_ev(avow_value value, void *loop)
{
	(void)value;
	avow_loop_free(*(avow_loop **)loop);
	ev_break(fx.ev, EVBREAK_ALL);
}

FX_TEST(a_listener_may_free_the_loop_and_break_libevs)
{
	avow_emitter *const e = avow_interval(fx.loop, .001);

	avow_emitter_on(e, "tick", destroy_ev, &fx.loop);
	avow_emitter_on(e, "tick", hear, "second");
	avow_catch(avow_once(e, "tick"), fx_note_code, "once");
	fx_run();
	fx.loop = NULL;
	fx_run();

	/* The loop ends when the emit has returned. */
	fx_expect("second:1");
	avow_emitter_free(e);
}


/* ------------------------------------------------------------ Out of memory */

static int settled, drops;

static avow_value count_either(avow_value value, void *counter)
{
	(void)value;
	++*(int *)counter;
	return avow_none();
}

static void count_drop(void *counter)
{
	++*(int *)counter;
}

static void settle(avow_promise *p)
{
	avow_on(p, .fulfilled = count_either, .rejected = count_either,
		.arg = &settled);
}

static void quiet(avow_loop *loop, const avow_report *report, void *arg)
{
	(void)loop;
	(void)report;
	(void)arg;
}

static void once_and_free(avow_emitter *e, const char *name)
{
	if (!e) {
		settled++;
		drops++;
		return;
	}
	settle(avow_once(e, name));
	avow_emitter_on(e, name, set_flag_to_value, &drops, .drop = count_drop,
			.once = true);
	avow_emitter_free(e);
}

static void run_promises(void *arg)
{
	avow_loop *const loop = avow_loop_new(fx.ev);
	(void)arg;
	if (!loop)
		return;
	avow_loop_on_report(loop, quiet, NULL);
	settled = 0;
	settle(avow_at(loop, 0));
	settle(avow_signalled(loop, SIGWINCH));
	avow_promise *const p = avow_changed(loop, "/");
	settle(p);
	avow_promise *const q = avow_forked(loop);
	settle(q);
	raise(SIGWINCH);
	avow_cancel(p);
	avow_cancel(q);
	ev_run(fx.ev, 0);
	avow_loop_free(loop);
	ck_assert_int_eq(settled, 4);
}

FX_TEST(each_promise_settles_whatever_allocation_fails)
{
	ck_assert_uint_gt(fx_sweep(run_promises, NULL), 6);
}

static void run_emitters(void *arg)
{
	avow_loop *const loop = avow_loop_new(fx.ev);
	(void)arg;
	if (!loop)
		return;
	avow_loop_on_report(loop, quiet, NULL);
	settled = drops = 0;
	once_and_free(avow_interval(loop, 1e6), "tick");
	once_and_free(avow_watch_async(loop), "wake");
	once_and_free(avow_watch_stat(loop, "/", 0), "change");
	once_and_free(avow_watch_signal(loop, SIGKILL), "signal");
	avow_emitter *const e = avow_watch_io(loop, -1, AVOW_READ);
	if (e)
		settle(avow_once(e, "ready"));
	else
		settled++;
	ev_run(fx.ev, 0);
	avow_emitter_free(e);
	avow_loop_free(loop);
	ck_assert_int_eq(settled, 5);
	ck_assert_int_eq(drops, 4);
}

FX_TEST(each_emitter_ends_whatever_allocation_fails)
{
	ck_assert_uint_gt(fx_sweep(run_emitters, NULL), 10);
}


/* ------------------------------------------------------------------ Misuse */

FX_TEST(what_is_wrong_is_told)
{
	avow_emitter *const plain = avow_emitter_new(fx.loop);
	avow_emitter *const clock = avow_interval(fx.loop, 1);

	FX_ABORTS("avow_at() with a NULL loop", avow_at(NULL, 0));
	FX_ABORTS("avow_interval() with a NULL loop",
		  (void)!avow_interval(NULL, 1));
	FX_ABORTS("avow_watch_waker() with a NULL emitter",
		  (void)!avow_watch_waker(NULL));
	FX_ABORTS("avow_watch_waker() of an emitter of something else",
		  (void)!avow_watch_waker(plain));
	FX_ABORTS("avow_watch_waker() of an emitter of something else",
		  (void)!avow_watch_waker(clock));
	FX_ABORTS("avow_watch_send() with a NULL waker", avow_watch_send(NULL));
	avow_emitter_free(plain);
	avow_emitter_free(clock);
}

FX_TEST(the_functions_behind_the_macros_can_be_pointed_to)
{
	avow_promise *(*const at)(avow_loop *, double) = avow_at;
	avow_promise *(*const signalled)(avow_loop *, int) = avow_signalled;
	avow_promise *(*const exited)(avow_loop *, int) = avow_exited;
	avow_promise *(*const changed)(avow_loop *, const char *) =
		avow_changed;
	avow_promise *(*const forked)(avow_loop *) = avow_forked;

	avow_cancel(changed(fx.loop, "/"));
	avow_cancel(forked(fx.loop));
	avow_catch(signalled(fx.loop, 0), note_errno, "signalled");
	avow_catch(exited(fx.loop, 1), note_errno, "exited");
	avow_then(at(fx.loop, 0), fx_note, "at");
	fx_run();

	fx_expect("signalled:EINVAL|exited:ENOTSUP|at:none");
}

FX_TEST(the_constructors_behind_the_macros_can_be_pointed_to)
{
	avow_emitter *(*const interval)(avow_loop *, double) = avow_interval;
	avow_emitter *(*const periodic)(avow_loop *, double, double) =
		avow_watch_periodic;
	avow_emitter *(*const io)(avow_loop *, int, int) = avow_watch_io;
	avow_emitter *(*const sign)(avow_loop *, int) = avow_watch_signal;
	avow_emitter *(*const child)(avow_loop *, int) = avow_watch_child;
	avow_emitter *(*const stat_of)(avow_loop *, const char *, double) =
		avow_watch_stat;
	avow_emitter *(*const forks)(avow_loop *) = avow_watch_fork;
	avow_emitter *(*const async)(avow_loop *) = avow_watch_async;
	avow_emitter *const list[] = {
		interval(fx.loop, 1),
		periodic(fx.loop, 0, 1),
		io(fx.loop, 0, AVOW_READ),
		sign(fx.loop, SIGWINCH),
		child(fx.loop, 1),
		stat_of(fx.loop, "/", 0),
		forks(fx.loop),
		async(fx.loop),
	};

	for (size_t i = 0; i < sizeof(list) / sizeof(*list); i++) {
		ck_assert_ptr_nonnull(list[i]);
		avow_emitter_free(list[i]);
	}
}

int main(void)
{
	return fx_main("watchers");
}
