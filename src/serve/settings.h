/*
 * settings.h: the settings "rag.*".
 *
 * What touches files or the machine is set in postgresql.conf only; a session chooses
 * models and sampling. The settings of the index are the access method's own.
 */
#ifndef RAG_SERVE_SETTINGS_H
#define RAG_SERVE_SETTINGS_H

enum
{
	DEVICE_AUTO, DEVICE_CPU, DEVICE_CUDA
};

typedef struct RagSettings
{
	/* the server's, at its start */
	int			max_channels;
	/* the server's, read when an engine is started */
	int			threads;		/* 0: all cores */
	int			max_batched_tokens; /* 0: the engine's choice */
	int			max_queue;		/* 0: the engine's choice */
	double		max_slowdown;	/* 0: any */
	int			engine_timeout; /* milliseconds; 0: none */
	int			device;			/* DEVICE_* */
	int			cuda_device;
	double		gpu_memory_utilization;
	char	   *engine_path;	/* empty: rag-engine beside the module */
	char	   *preload_models;
	/* the session's, to be changed by superusers only */
	int			role_max_requests;	/* 0: any number */
	int			role_max_tokens;
	int			log_min_duration;	/* milliseconds; -1: none */
	/* the session's */
	int			priority;		/* lower runs first */
	int			channel_timeout;	/* milliseconds */
	bool		gpu_index_build;
	char	   *embedding_model;
	char	   *generation_model;
	int			max_tokens;		/* 0: to the model's limit */
	double		temperature;
	double		top_p;
	double		min_p;
	int			top_k;			/* 0: all */
} RagSettings;

extern RagSettings rag_settings;

/* Defines them; preloading: those that only the postmaster may define as well. */
extern void SettingsDefine(bool preloading);

/* "auto", "cpu" or "cuda" */
extern const char *SettingsDeviceName(int device);

/* The engine program: rag.engine_path or the file beside this module (palloc'd). */
extern char *SettingsEnginePath(void);

#endif							/* RAG_SERVE_SETTINGS_H */
