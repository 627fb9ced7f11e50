/*
 * SPDX-License-Identifier: MIT
 *
 * work.c - blocking functions in a pool of threads.
 *
 * The pool is one queue under one lock, and threads that take from it.  A job
 * belongs to its promise, whose drop ends it in the loop's thread, except while
 * a thread runs it: then the thread ends it if the promise is gone by the time
 * the function returns.  Which of the two it is, is decided under the lock; a
 * job is never looked at by both.  A result goes to the loop as that of any
 * other call (settler.c), so a loop that was freed meanwhile does no harm.
 *
 * No function of the program's is called under the lock.
 */
#include "task.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

enum work_state {
	WORK_QUEUED,
	WORK_RUNNING, /* the thread's */
	WORK_DONE     /* run, or never queued */
};

struct work {
	struct work *next, *back; /* in the queue */
	avow_work_fn *fn;
	void *arg;
	avow_drop_fn *drop;
	const void *context;
	unsigned age; /* of the pool it was queued in */
	enum work_state state;
	bool is_unwanted; /* atomic; the promise is gone */
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t news; /* for idle threads */
	pthread_cond_t gone; /* for avow_work_end(): the last has left, or has
				been joined */
	struct work *queue;  /* the last of a ring */
	size_t queued;
	unsigned most, threads;
	unsigned idle;	 /* of them; those that are still starting, too */
	unsigned ending; /* calls of avow_work_end() that wait */
	unsigned joins;	 /* of them: that join the thread that left last */
	unsigned age;	 /* one more in the child of a fork */
	bool has_left;
	pthread_t left; /* a thread that has left and is not joined yet */
} pool = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.news = PTHREAD_COND_INITIALIZER,
	.gone = PTHREAD_COND_INITIALIZER,
	.most = 4,
};

/* What a thread of the pool runs while it runs no function. */
static const struct work work_none;

/* -------------------------------------------------------------------- Forks */

static void work_before_fork(void)
{
	pthread_mutex_lock(&pool.lock);
}

static void work_after_fork(void)
{
	pthread_mutex_unlock(&pool.lock);
}

/* No thread has come along, and nobody waits: the pool starts anew.  Jobs of
 * before are known by their age. */
static void work_in_child(void)
{
	pool.queue = NULL;
	pool.queued = 0;
	pool.threads = pool.idle = pool.ending = pool.joins = 0;
	pool.has_left = false;
	pool.age++;
	pool.news = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
	pool.gone = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
	pthread_mutex_unlock(&pool.lock);
}

static void work_mind_forks(void)
{
	(void)pthread_atfork(work_before_fork, work_after_fork, work_in_child);
}

/* As the program's threads take the lock. */
static void work_lock(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, work_mind_forks);
	pthread_mutex_lock(&pool.lock);
}

/* ---------------------------------------------------------------- The queue
 *
 * All of it with the lock held.
 */

static void work_append(struct work *job)
{
	struct work *const tail = pool.queue;
	if (tail) {
		job->next = tail->next;
		job->back = tail;
		job->next->back = job;
		tail->next = job;
	} else {
		job->next = job->back = job;
	}
	pool.queue = job;
	pool.queued++;
}

static void work_unlink(struct work *job)
{
	job->back->next = job->next;
	job->next->back = job->back;
	if (pool.queue == job)
		pool.queue = job->back == job ? NULL : job->back;
	pool.queued--;
}

/* ------------------------------------------------------------------ Threads */

static void work_free(struct work *job)
{
	if (job->drop)
		job->drop(job->arg);
	avow__free(job);
}

/* The next job, or NULL when this thread is to leave. */
static struct work *work_next(void)
{
	while (pool.threads <= pool.most) {
		if (pool.queue) {
			struct work *const job = pool.queue->next;
			work_unlink(job);
			job->state = WORK_RUNNING;
			return job;
		}
		if (pool.ending)
			break;
		pool.idle++;
		pthread_cond_wait(&pool.news, &pool.lock);
		pool.idle--;
	}
	return NULL;
}

/* False in the child of a fork that `fn` has made: the pool is another. */
static bool work_run(struct work *job, unsigned age)
{
	avow__thread.work = job;
	const avow_value value = job->fn(job->arg);
	avow__thread.work = &work_none;
	pthread_mutex_lock(&pool.lock);
	const bool is_forked = pool.age != age;
	const bool is_unwanted = job->is_unwanted;
	const void *const context = job->context;
	if (!is_unwanted && !is_forked)
		job->state = WORK_DONE; /* the promise's again */
	pthread_mutex_unlock(&pool.lock);
	if (is_forked)
		return false;
	if (is_unwanted) {
		avow__value_drop(value);
		work_free(job);
	} else {
		avow_settle(context, value);
	}
	return true;
}

/* Whoever leaves joins the one who left before, so that one at most is left
 * over, and memory is needed for none. */
static void work_leave(void)
{
	const bool has_left = pool.has_left;
	const pthread_t left = pool.left;
	pool.has_left = true;
	pool.left = pthread_self();
	if (--pool.threads == 0)
		pthread_cond_broadcast(&pool.gone);
	/* It may have been woken for a job that it leaves to another. */
	if (pool.queue)
		pthread_cond_signal(&pool.news);
	pthread_mutex_unlock(&pool.lock);
	if (has_left)
		pthread_join(left, NULL);
}

static void *work_main(void *arg)
{
	(void)arg;
#ifdef __linux__
	prctl(PR_SET_NAME, "avow-work");
#endif
	avow__thread.work = &work_none;
	pthread_mutex_lock(&pool.lock);
	pool.idle--;
	const unsigned age = pool.age;
	for (;;) {
		struct work *const job = work_next();
		if (!job)
			break;
		pthread_mutex_unlock(&pool.lock);
		if (!work_run(job, age))
			return NULL;
		pthread_mutex_lock(&pool.lock);
	}
	work_leave();
	return NULL;
}

/* A thread whose signals are blocked, but for those that a fault brings: they
 * would end the process unseen. */
static int work_create(pthread_t *thread)
{
	static const int faults[] = { SIGSEGV, SIGBUS,	SIGFPE, SIGILL,
				      SIGTRAP, SIGABRT, SIGSYS };
	sigset_t all, before;
	sigfillset(&all);
	for (size_t i = 0; i < sizeof(faults) / sizeof(*faults); i++)
		sigdelset(&all, faults[i]);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	const int code = pthread_create(thread, NULL, work_main, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return code;
}

/* As many threads as the queue asks for and the pool may have; with the lock
 * held.  An errno, or 0. */
static int work_start(size_t queued)
{
	while (pool.idle < queued && pool.threads < pool.most) {
		pthread_t thread;
		const int code = work_create(&thread);
		if (code)
			return code;
		pool.threads++;
		pool.idle++;
	}
	return 0;
}

/* ----------------------------------------------------------------- The pool */

bool avow_work_threads(unsigned count)
{
	if (!count)
		return false;
	work_lock();
	pool.most = count;
	(void)work_start(pool.queued);
	pthread_cond_broadcast(&pool.news);
	pthread_mutex_unlock(&pool.lock);
	return true;
}

/* The one that has left last; with the lock held, but not all the time. */
static void work_join(void)
{
	const pthread_t left = pool.left;
	pool.has_left = false;
	pool.joins++;
	pthread_mutex_unlock(&pool.lock);
	pthread_join(left, NULL);
	pthread_mutex_lock(&pool.lock);
	if (--pool.joins == 0)
		pthread_cond_broadcast(&pool.gone);
}

void avow_work_end(void)
{
	CHECK(!avow__thread.work, NULL,
	      "avow_work_end() in a thread of the pool");
	work_lock();
	pool.ending++;
	pthread_cond_broadcast(&pool.news);
	/* Another thread may be ending it as well, and join the last. */
	while (pool.threads || pool.has_left || pool.joins) {
		if (pool.threads || !pool.has_left)
			pthread_cond_wait(&pool.gone, &pool.lock);
		else
			work_join();
	}
	pool.ending--;
	pthread_mutex_unlock(&pool.lock);
}

bool avow_work_is_cancelled(void)
{
	const struct work *const job = avow__thread.work;
	return job && __atomic_load_n(&job->is_unwanted, __ATOMIC_ACQUIRE);
}

/* ----------------------------------------------------------------- The loop */

/* The drop of the promise: it has settled, whatever settled it. */
static void work_end(void *arg)
{
	struct work *const job = arg;
	pthread_mutex_lock(&pool.lock);
	const bool is_here = job->age == pool.age;
	const bool is_running = is_here && job->state == WORK_RUNNING;
	if (is_here && job->state == WORK_QUEUED)
		work_unlink(job);
	if (is_running)
		__atomic_store_n(&job->is_unwanted, true, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&pool.lock);
	if (!is_running)
		work_free(job);
}

/* An errno when there is no thread and none can be had. */
static int work_push(struct work *job)
{
	work_lock();
	job->age = pool.age;
	const int code = work_start(pool.queued + 1);
	const bool is_queued = pool.threads > 0;
	if (is_queued) {
		job->state = WORK_QUEUED;
		work_append(job);
		pthread_cond_signal(&pool.news);
	}
	pthread_mutex_unlock(&pool.lock);
	return is_queued ? 0 : code;
}

static struct work *work_new(avow_loop *loop, avow_promise *p, avow_work_fn *fn,
			     const void *context,
			     const avow_work_options *options)
{
	struct avow__extra *const extra = avow__extra_of(loop, p);
	struct work *const job = extra ? avow__alloc(sizeof(*job)) : NULL;
	if (!job)
		return NULL;
	memset(job, 0, sizeof(*job));
	job->fn = fn;
	job->arg = options->arg;
	job->drop = options->drop;
	job->context = context;
	job->state = WORK_DONE;
	extra->arg = job;
	extra->drop = work_end;
	return job;
}

/* Nothing is to be run; `error` is none where the promise is rejected. */
static avow_promise *work_refuse(avow_loop *loop, avow_promise *p,
				 avow_value error,
				 const avow_work_options *options)
{
	avow__enter(loop);
	p->uses++; /* the drop may run the loop */
	if (error.type)
		avow__resolve_root(loop, p, error);
	if (options->drop)
		options->drop(options->arg);
	avow__unuse_in_call(loop, p);
	avow__leave(loop);
	return p;
}

avow_promise *avow_work_at(const char *place, avow_loop *loop, avow_work_fn *fn,
			   const avow_work_options *options)
{
	avow__loop_entry(loop, "avow_work()");
	CHECK(fn, place, "avow_work() of a NULL function");
	const avow_call call = avow_begin_at(place, loop, "avow_work()");
	avow_promise *const p = call.promise;
	if (!call.is_open)
		return work_refuse(loop, p, avow__none, options);
	p->word |= SEALED;
	if (avow_signal_is_aborted(options->signal))
		return work_refuse(
			loop, p, avow_copy(avow_signal_reason(options->signal)),
			options);
	struct work *const job = work_new(loop, p, fn, call.context, options);
	if (!job)
		return work_refuse(loop, p, avow_errno(ENOMEM), options);
	(void)avow_threaded(call.context);
	const int code = work_push(job);
	if (code) {
		avow__resolve_root(
			loop, p,
			avow_error_at(place, &avow_errno_domain, code,
				      "no thread for avow_work(): %s",
				      avow_message(avow_errno(code))));
		return p;
	}
	return avow__task_abortable(place, p, options->signal);
}

avow_promise *(avow_work)(avow_loop *loop, avow_work_fn *fn, void *arg)
{
	return avow_work_at(NULL, loop, fn, &(avow_work_options){ .arg = arg });
}
