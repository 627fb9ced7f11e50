/*
 * SPDX-License-Identifier: MIT
 *
 * measure.c - measure.h.  C wants a function declared before it is named, so
 * where there are no forward declarations one pass from the top finds the
 * depth: that of a function is one more than the deepest that it names.
 */
#include "measure.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FUNCTION_COUNT_MAX 64
#define NAME_SIZE 64

struct function {
	char name[NAME_SIZE];
	size_t depth;
};

struct reader {
	struct measure *out;
	struct function functions[FUNCTION_COUNT_MAX];
	size_t function_count; /* the last one is being read */
	bool in_comment;
	bool in_body;
};

/* Overwrite with blanks what stands in comments and strings. */
static void blank_line(struct reader *r, char *s)
{
	bool in_string = false;

	for (; *s; s++) {
		if (r->in_comment && s[0] == '*' && s[1] == '/') {
			r->in_comment = false;
			*s++ = ' ';
			*s = ' ';
		} else if (r->in_comment) {
			*s = ' ';
		} else if (*s == '"') {
			in_string = !in_string;
		} else if (in_string) {
			if (s[0] == '\\' && s[1])
				*s++ = '_';
			*s = '_';
		} else if (s[0] == '/' && s[1] == '*') {
			r->in_comment = true;
			*s++ = ' ';
			*s = ' ';
		}
	}
}

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

static bool line_names(const char *line, const char *name)
{
	size_t size = strlen(name);
	const char *s = line;

	while ((s = strstr(s, name)) != NULL) {
		if ((s == line || !is_word(s[-1])) && !is_word(s[size]))
			return true;
		s += size;
	}
	return false;
}

/* A line like "static int ask(int id)": remember what it may define. */
static void read_name(struct reader *r, const char *line)
{
	const char *end = strchr(line, '(');
	const char *start = end;

	while (start > line && is_word(start[-1]))
		start--;
	if (r->function_count == FUNCTION_COUNT_MAX)
		return;
	struct function *f = &r->functions[r->function_count];

	snprintf(f->name, sizeof(f->name), "%.*s", (int)(end - start), start);
	f->depth = 1;
}

/* A line in a body: it goes as deep as what it names, and one more. */
static void read_body(struct reader *r, const char *line)
{
	struct function *f = &r->functions[r->function_count - 1];

	for (const struct function *g = r->functions; g < f; g++) {
		if (g->depth >= f->depth && line_names(line, g->name))
			f->depth = g->depth + 1;
	}
	if (f->depth > r->out->depth)
		r->out->depth = f->depth;
}

static void read_line(struct reader *r, char *line)
{
	blank_line(r, line);
	if (line[strspn(line, " \t\r\n")] == '\0')
		return;
	r->out->line_count++;
	if (line[0] == '}') {
		r->in_body = false;
	} else if (r->in_body) {
		read_body(r, line);
	} else if (line[0] == '{' && r->function_count < FUNCTION_COUNT_MAX) {
		r->in_body = true;
		r->function_count++;
	} else if (is_word(line[0]) && strchr(line, '(')) {
		read_name(r, line);
	}
}

bool measure_source(const char *path, struct measure *out)
{
	struct reader r = { .out = out };
	FILE *file = fopen(path, "r");
	char *line = NULL;
	size_t room = 0;

	if (!file)
		return false;
	*out = (struct measure){ 0 };
	while (getline(&line, &room, file) >= 0)
		read_line(&r, line);

	bool ok = !ferror(file);

	free(line);
	fclose(file);
	return ok;
}
