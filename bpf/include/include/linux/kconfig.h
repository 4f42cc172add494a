/* The one configuration switch that BCC's headers look at. */
#define CONFIG_BPF_SYSCALL 1
